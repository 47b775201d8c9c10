"""Declare and read the options of commands that start without typer.

Unknown options are left to typer, which prints the errors and the help from the same declarations.
"""

from __future__ import annotations

from cronq.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Annotated, Self

    import typer

    from cronq.model.selection import Filter

_DIGITS = 9
UNSET: list[str] = []
"""The default of an option that can be repeated; it is replaced, never changed."""


class Options:
    """The options of one command as they were typed.

    A subclass declares each as an annotated attribute: `max_time` is `--max-time`, the default False makes it a flag, a
    list one that can be repeated. Its annotation stays a text until typer prints the help or an error.
    """

    SHORT = ""
    """The short names: `w` makes `-w` the short name of the option that begins with w."""
    MOST_WORDS = 0
    """The most arguments that are no options."""

    def __init__(self, **typed: object) -> None:
        self.words = UNSET
        self.__dict__.update(typed)

    @classmethod
    def names(cls) -> dict[str, str]:
        """Return the attributes of all options, by the names of the options."""
        declared = [name for base in reversed(cls.__mro__) for name in getattr(base, "__annotations__", ())]
        short = {f"-{name[0]}": name for name in declared if name[0] in cls.SHORT}
        return short | {f"--{name.replace('_', '-')}": name for name in declared}

    @classmethod
    def read(cls, arguments: Sequence[str]) -> Self | None:
        """Read a command's arguments; returns None for `--help` and mistakes, which typer handles."""
        options, names, following = cls(), cls.names(), list(arguments)
        while following:
            argument = following.pop(0)
            name, equals, value = argument.partition("=")
            if name in names:
                taken = options._take(names[name], value if equals else None, following)
            else:
                taken = options._take_word(argument)
            if not taken:
                return None
        return options

    def _take(self, attribute: str, value: str | None, following: list[str]) -> bool:
        """Set an option; its value may be the next argument. Returns False if it has none, or as a flag has one."""
        known = getattr(self, attribute)
        if isinstance(known, bool):
            setattr(self, attribute, True)
            return value is None
        if value is None:
            if not following:
                return False
            value = following.pop(0)
        setattr(self, attribute, [*known, value] if isinstance(known, list) else value)
        return True

    def _take_word(self, argument: str) -> bool:
        self.words = [*self.words, argument]
        return not argument.startswith("-") and len(self.words) <= self.MOST_WORDS


class FilterOptions(Options):
    """The options that select jobs."""

    queue: Annotated[
        list[str], typer.Option(metavar="QUEUE", help="Only this queue: name, glob or !name; repeatable.")
    ] = UNSET
    weighted: Annotated[bool, typer.Option(help="Weighted queue order: the queue named n-th has weight 1/n.")] = False
    priority: Annotated[str | None, typer.Option(metavar="RANGE", help="Only these: 10, 20-40, 25- or -20.")] = None
    jobs: Annotated[str | None, typer.Option(metavar="N", help="Parallel jobs (config: jobs).")] = None

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


def positive(text: str | None, *, what: str) -> int | None:
    """Parse a whole number of at least 1. Raises InvalidInput naming the option."""
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS and int(text) > 0):
        raise InvalidInput(f"{what}: {text!r} is not a whole number of at least 1")
    return int(text)
