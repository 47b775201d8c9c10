"""Parse thresholds as the Monitoring Plugins write them.

`10` alerts below 0 and above 10, `10:` below 10, `~:10` above 10, `5:10` outside of 5 to 10,
and `@5:10` inside of it, both ends included.
"""

from __future__ import annotations

from cronq.errors import InvalidInput, UsageError
from cronq.times import parse_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

INFINITE = float("inf")


class Range:
    """One range with its `start` and `end`; `inside` alerts inside of it instead of outside."""

    def __init__(self, start: float, end: float, *, inside: bool = False) -> None:
        self.start = start
        self.end = end
        self.inside = inside

    def __str__(self) -> str:
        """Write it for performance data, as numbers only."""
        start = "" if self.start == 0 else "~:" if self.start == -INFINITE else f"{self.start:.15g}:"
        end = "" if self.end == INFINITE else f"{self.end:.15g}"
        return f"{'@' if self.inside else ''}{start or ('' if end else '0:')}{end}"

    def alerts(self, value: float) -> bool:
        """Tell whether the value raises an alert."""
        return (self.start <= value <= self.end) is self.inside


def parse_range(text: str, *, what: str) -> Range:
    """Parse a range; an age may have a unit (`2m`). Raises InvalidInput naming `what`."""
    inside = text.startswith("@")
    start, colon, end = text.removeprefix("@").rpartition(":")
    if text.count(":") > 1 or not (start or end):
        raise _wrong(text, what)
    low = -INFINITE if start == "~" else _number(start, text, what) if colon and start else 0.0
    high = _number(end, text, what) if end else INFINITE
    if low > high:
        raise _wrong(text, what)
    return Range(low, high, inside=inside)


def _number(text: str, whole: str, what: str) -> float:
    try:
        return parse_duration(text)
    except InvalidInput:
        raise _wrong(whole, what) from None


def _wrong(text: str, what: str) -> InvalidInput:
    return InvalidInput(f"{what}: {text!r} is not a range like 10, 10:, ~:10, 5:10 or @5:10")


def parse_thresholds(options: Iterable[str], *, what: str, known: Iterable[str]) -> Mapping[str, Range | None]:
    """Parse options like `failed=10`; None for a measure without a range (`failed=`).

    Raises UsageError for an unknown measure, InvalidInput for a wrong range.
    """
    measures = list(known)
    ranges: dict[str, Range | None] = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not equals or name not in measures:
            raise UsageError(f"{what}: {option!r} is not MEASURE=RANGE, with one of {', '.join(measures)}")
        ranges[name] = parse_range(text, what=f"{what} {name}") if text else None
    return ranges
