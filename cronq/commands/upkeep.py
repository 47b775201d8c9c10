"""`cronq clear-finished` and `cronq update-schema`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.commands import bulk
from cronq.commands import options as given
from cronq.errors import InvalidInput
from cronq.model.job import ENDED, State
from cronq.model.selection import Selection
from cronq.times import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cronq.commands import Invocation
    from cronq.store import Store

_CLEAR = bulk.Verb("clear away", "cleared away")

_CLEAR_EXAMPLE = """\
Example:

\b
  cronq clear-finished 14
  cronq clear-finished 90 --state failed,cancelled
  cronq clear-finished --queue mail --older-than 36h --dry-run

Exit status: 0 done, 1 declined at the prompt, 64 both DAYS and --older-than, 65 bad input,
69 database out of reach, 78 configuration.
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
    typer.Option("--state", metavar="STATE", help="Also jobs in this state: failed, cancelled; repeatable, or a,b."),
]


@dataclass(frozen=True, kw_only=True)
class _How(bulk.How):
    """The options of a command that changes jobs, where the change is their removal."""

    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the ids that would be removed.")] = False


@given.spread
def _clear_finished(
    context: typer.Context,
    days: Days = None,
    *,
    state: OtherStates = None,
    which: given.Narrowing,
    how: _How,
) -> int:
    """Remove finished jobs for good; prints how many. Never removes one that hasn't ended."""
    if days is not None and which.older_than is not None:
        raise given.refuse("either DAYS or --older-than", context)
    meant = which.selection()._replace(states=_ended(state))
    if days is not None:
        meant = meant._replace(older_than=_age(days))
    call = given.invocation(context)
    with call.store() as store:
        if how.dry_run:
            bulk.rehearse(call, store, _CLEAR, meant, how)
            return 0
        if bulk.is_interactive() and not bulk.agreed(_CLEAR, store.jobs.count(meant), how):
            return 1
        cleared = _clear(call, store, meant)
    _tell_cleared(cleared, how)
    return 0


def _clear(call: Invocation, store: Store, meant: Selection) -> int:
    """Remove jobs in batches; return their number. A selection by state and age alone is one call: it has an index."""
    counts: list[int] = []
    if meant == Selection(states=meant.states, older_than=meant.older_than):
        try:
            counts.extend(store.admin.clear(meant.states, older_than=meant.older_than or 0.0))
        finally:
            bulk.note(call, sum(counts))
        return sum(counts)

    def clear(batch: Sequence[int]) -> int:
        counts.append(store.admin.clear_selected(batch, meant.states))
        return counts[-1]

    bulk.in_batches(call, store.jobs.ids(meant), _CLEAR, clear)
    return sum(counts)


def _tell_cleared(number: int, how: bulk.How) -> None:
    from cronq.render.text import write

    write([bulk.changes(number, None, dry_run=False) if how.as_json else str(number)])


def _age(text: str) -> float:
    """Parse the DAYS argument into seconds; a number without a unit means days."""
    return parse_duration(f"{text}d" if text[-1:].isdecimal() else text, what="DAYS")


def _ended(others: Iterable[str] | None) -> frozenset[str]:
    states = given.states(others)
    for state in sorted(states - ENDED):
        raise InvalidInput(f"--state: {state} jobs haven't ended, so they are never cleared")
    return states | {State.FINISHED}


def _update_schema(context: typer.Context) -> None:
    """Bring the tables up to date.

    Adds what is missing and removes nothing; can be repeated.
    """
    from cronq.storage.migrations import upgrade

    call = given.invocation(context)
    upgrade(call.config)
    if not call.quiet:
        _tell_done(call.config.safe_database())


def _tell_done(database: str) -> None:
    from cronq.render.text import write

    write([f"the schema in {database} is up to date"])


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    app.command("clear-finished", epilog=_CLEAR_EXAMPLE)(_clear_finished)
    app.command("update-schema", epilog=_SCHEMA_EXAMPLE)(_update_schema)
