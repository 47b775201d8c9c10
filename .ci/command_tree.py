"""Read typer's declarations of the commands into the form that the manual and the completions need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import typer

from cronq.commands.program import program
from cronq.model.job import State

STATES = tuple(state.value for state in State)


class Parameter(NamedTuple):
    """One option or argument. `value` is empty for a flag."""

    names: tuple[str, ...]
    value: str
    help: str
    repeatable: bool

    @property
    def is_option(self) -> bool:
        """Whether its name begins with a dash."""
        return self.names[0].startswith("-")


class Command(NamedTuple):
    """One command, or the program itself."""

    name: str
    summary: str
    details: tuple[str, ...]
    example: str
    statuses: str
    parameters: tuple[Parameter, ...]

    @property
    def options(self) -> tuple[Parameter, ...]:
        """The parameters that begin with dashes."""
        return tuple(parameter for parameter in self.parameters if parameter.is_option)

    @property
    def arguments(self) -> tuple[Parameter, ...]:
        """The other parameters."""
        return tuple(parameter for parameter in self.parameters if not parameter.is_option)


def tree() -> tuple[Command, tuple[Command, ...]]:
    """Return the program and its commands, in the order of its help; those of a group, `schedules next`, follow it."""
    group: Any = typer.main.get_command(program())
    return _command("cronq", group), tuple(_verbs(group))


def members(verbs: tuple[Command, ...]) -> dict[str, tuple[Command, ...]]:
    """Return the groups by name, each with its commands."""
    found: dict[str, tuple[Command, ...]] = {}
    for verb in verbs:
        group, _, name = verb.name.partition(" ")
        if name:
            found[group] = (*found.get(group, ()), verb._replace(name=name))
    return found


def _verbs(group: Any, within: str = "") -> Iterator[Command]:
    for name, verb in group.commands.items():
        yield _command(f"{within}{name}", verb)
        if hasattr(verb, "commands"):
            yield from _verbs(verb, f"{name} ")


def _command(name: str, known: Any) -> Command:
    paragraphs = [" ".join(part.split()) for part in (known.help or "").split("\n\n")]
    _, _, rest = (known.epilog or "").partition("Example:")
    example, _, statuses = rest.partition("Exit status:")
    return Command(
        name,
        paragraphs[0],
        tuple(paragraphs[1:]),
        _dedented(example),
        " ".join(statuses.split()),
        tuple(_parameters(known)),
    )


def _dedented(text: str) -> str:
    lines = [line.strip() for line in text.replace("\b", "").splitlines()]
    return "\n".join(line for line in lines if line)


def _parameters(known: Any) -> Iterator[Parameter]:
    for one in known.params:
        flag = bool(getattr(one, "is_flag", False))
        value = "" if flag else (one.metavar or one.name.upper())
        yield Parameter(tuple(one.opts), value, one.help or "", bool(getattr(one, "multiple", False)) or one.nargs < 0)
