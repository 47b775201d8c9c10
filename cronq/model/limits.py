"""Define limits: how many jobs may run at a time, and how many may start in a period. Pure rules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.errors import ConfigError, InvalidInput
from cronq.times import SECOND, exact_span, parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_NAME = 255
_MOST = 1_000_000
_RATE = re.compile(r"(\d{1,7})/(.+)")
_ARGUMENT = re.compile(r"\{([^{}]*)\}")


class Bounds(NamedTuple):
    """At most `concurrency` jobs at a time, and at most `starts` starts in `period` microseconds; None for no bound."""

    concurrency: int | None = None
    starts: int | None = None
    period: int | None = None

    def text(self) -> str:
        """Write the bounds in the form of the configuration: `5, 100/10s`."""
        rate = f"{self.starts}/{exact_span(self.period or 0)}" if self.starts is not None else ""
        return ", ".join(part for part in ("" if self.concurrency is None else str(self.concurrency), rate) if part)

    def rate_words(self) -> str:
        """Write the rate for a sentence: `100 starts in 10s`."""
        return f"{self.starts:,} start{'' if self.starts == 1 else 's'} in {exact_span(self.period or 0)}"

    def over(self, fallback: Bounds) -> Bounds:
        """Return these bounds, with the concurrency or rate that isn't set taken from `fallback`."""
        concurrency = fallback.concurrency if self.concurrency is None else self.concurrency
        return Bounds(concurrency, *(fallback[1:] if self.starts is None else self[1:]))


class Limit(NamedTuple):
    """The limit of one job: its name, and the key of the configuration that defines it, with the bounds given there."""

    name: str
    pattern: str
    bounds: Bounds


def parse_concurrency(value: object) -> int:
    """Return the value if it is a number of places, from 1 to 1,000,000. Raises ValueError if not."""
    if type(value) is not int or not 1 <= value <= _MOST:
        raise ValueError
    return value


def parse_rate(value: object) -> tuple[int, int]:
    """Parse a rate like `100/10s`; returns the number of starts and the period in microseconds. Raises ValueError."""
    found = _RATE.fullmatch(value) if isinstance(value, str) else None
    if found is None or not 1 <= int(found[1]) <= _MOST:
        raise ValueError
    text = found[2] if found[2][0].isdecimal() else f"1{found[2]}"
    try:
        period = round(parse_duration(text) * SECOND)
    except InvalidInput:
        raise ValueError from None
    if not period:
        raise ValueError
    return int(found[1]), period


def read_concurrency(text: str, *, what: str) -> int:
    """Parse a number of places that a user typed. Raises InvalidInput."""
    try:
        return parse_concurrency(int(text) if text.isascii() and text.isdecimal() else None)
    except ValueError:
        raise InvalidInput(f"{what}: {text!r} is not a whole number of at least 1") from None


def read_rate(text: str, *, what: str) -> tuple[int, int]:
    """Parse a rate that a user typed. Raises InvalidInput."""
    try:
        return parse_rate(text)
    except ValueError:
        raise InvalidInput(f"{what}: {text!r} is not a rate like 100/10s") from None


def parse_bounds(value: object) -> Bounds:
    """Parse a value of [limits]: `10`, or `{concurrency = 5, rate = "100/10s"}`. Raises ValueError."""
    if not isinstance(value, dict):
        return Bounds(parse_concurrency(value))
    if not value or value.keys() - {"concurrency", "rate"}:
        raise ValueError
    concurrency = parse_concurrency(value["concurrency"]) if "concurrency" in value else None
    return Bounds(concurrency, *(parse_rate(value["rate"]) if "rate" in value else (None, None)))


def resolve(template: object, arguments: Mapping[str, Any], limits: Mapping[str, Bounds]) -> Limit:
    """Return the limit of a job with these arguments: `customer:{id}` gives `customer:7`, which `customer:*` defines.

    Raises InvalidInput for an argument that isn't there or a name that can't be used, ConfigError for a limit that
    isn't defined.
    """
    if not isinstance(template, str):
        raise InvalidInput(f"limit: expected the name of a limit: got {template!r}")

    def value(found: re.Match[str]) -> str:
        if found[1] not in arguments:
            raise InvalidInput(f"limit: {template!r} names the argument {found[1]!r}, which the job hasn't got")
        return str(arguments[found[1]])

    name = _ARGUMENT.sub(value, template)
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise InvalidInput(f"limit: expected a name of 1 to {LONGEST_NAME} printable characters: got {name!r}")
    pattern = defined_by(name, limits)
    if pattern is None:
        known = ", ".join(limits) or "none"
        raise ConfigError(f"limit {name!r} is not defined: [limits] in the configuration has {known}")
    return Limit(name, pattern, limits[pattern])


def defined_by(name: str, limits: Mapping[str, Bounds]) -> str | None:
    """Return the key that defines this limit: the name itself, else the longest `prefix*` that fits; None for none."""
    if name in limits:
        return name
    fitting = (key for key in limits if key.endswith("*") and name.startswith(key[:-1]))
    return max(fitting, key=len, default=None)
