"""Looking after the database: clear-finished, update-schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cronq.commands import options as given
from cronq.errors import InvalidInput
from cronq.job import ENDED, State
from cronq.times import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterable

_CLEAR_EXAMPLE = """\
Example:

\b
  cronq clear-finished 14
  cronq clear-finished 90 --state failed,cancelled

Exit status: 0 done, 65 bad input, 69 database out of reach, 78 configuration.
"""

_SCHEMA_EXAMPLE = """\
Example:

\b
  cronq update-schema

Exit status: 0 done, 69 database out of reach, 78 configuration.
"""

Days = Annotated[
    str | None,
    typer.Argument(metavar="DAYS", help="Only those that finished longer ago: 14, or 36h.", show_default=False),
]
OtherStates = Annotated[
    list[str] | None,
    typer.Option("--state", metavar="STATE", help="These too: failed, cancelled; repeatable, or a,b."),
]


def _clear_finished(context: typer.Context, days: Days = None, *, state: OtherStates = None) -> None:
    """Remove finished jobs for good; prints how many. Never removes one that hasn't ended."""
    from cronq import render

    age = 0.0 if days is None else _age(days)
    states = _ended(state)
    with given.invocation(context).store() as store:
        cleared = sum(store.clear(states, older_than=age))
    render.write([str(cleared)])


def _age(text: str) -> float:
    """Seconds in the DAYS argument: days, unless the text names another unit."""
    return parse_duration(f"{text}d" if text[-1:].isdecimal() else text, what="DAYS")


def _ended(others: Iterable[str] | None) -> frozenset[str]:
    states = given.states(others)
    for state in sorted(states - ENDED):
        raise InvalidInput(f"--state: {state} jobs haven't ended, so they are never cleared")
    return states | {State.FINISHED}


def _update_schema(context: typer.Context) -> None:
    """Bring the tables up to date: adds what is missing, removes nothing, can be repeated."""
    from cronq.migrations import upgrade

    call = given.invocation(context)
    upgrade(call.config)
    if not call.quiet:
        _tell_done(call.config.safe_database())


def _tell_done(database: str) -> None:
    from cronq import render

    render.write([f"the schema in {database} is up to date"])


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    app.command("clear-finished", epilog=_CLEAR_EXAMPLE)(_clear_finished)
    app.command("update-schema", epilog=_SCHEMA_EXAMPLE)(_update_schema)
