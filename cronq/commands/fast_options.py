"""Read the options of commands that start without typer.

Unknown options are left to typer's declaration of the same command, which prints the errors and
the help.
"""

from __future__ import annotations

from cronq.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cronq.model.selection import Filter

FILTER_VALUES = {"--queue": "queue", "--priority": "priority", "--jobs": "jobs"}
FILTER_FLAGS = {"--weighted": "weighted"}
_REPEATABLE = {"queue"}
_DIGITS = 9


class FilterOptions:
    """The options that select jobs, as they were typed."""

    def __init__(self) -> None:
        self.queue: list[str] = []
        self.priority: str | None = None
        self.jobs: str | None = None
        self.weighted = False

    def filter(self) -> Filter | None:
        """Make the filter of jobs to claim; None without such options. Raises InvalidInput."""
        if not (self.queue or self.priority is not None or self.weighted):
            return None
        from cronq.model.selection import Filter, parse_priorities

        unrestricted = Filter(tuple(self.queue), self.weighted)
        if self.priority is None:
            return unrestricted
        lowest, highest = parse_priorities(self.priority)
        return unrestricted._replace(lowest=lowest, highest=highest)


def read(arguments: Sequence[str], options: object, *, values: Mapping[str, str], flags: Mapping[str, str]) -> bool:
    """Set the typed values on `options`; returns False for `--help` and mistakes, which typer handles."""
    following = list(arguments)
    while following:
        argument = following.pop(0)
        name, equals, value = argument.partition("=")
        if argument in flags:
            setattr(options, flags[argument], True)
        elif name in values and (equals or following):
            _set(options, values[name], value if equals else following.pop(0))
        else:
            return False
    return True


def _set(options: object, name: str, value: str) -> None:
    if name in _REPEATABLE:
        getattr(options, name).append(value)
    else:
        setattr(options, name, value)


def positive(text: str | None, *, what: str) -> int | None:
    """Parse a whole number of at least 1. Raises InvalidInput naming the option."""
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS and int(text) > 0):
        raise InvalidInput(f"{what}: {text!r} is not a whole number of at least 1")
    return int(text)
