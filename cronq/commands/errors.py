"""`cronq errors`: group failing jobs by their error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cronq.commands import bulk
from cronq.commands import options as given
from cronq.commands.fast_options import positive
from cronq.model.job import FAILING
from cronq.times import to_datetime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.storage.failure_groups import FailureGroup
    from cronq.store import Store

_EXAMPLE = """\
Example:

\b
  cronq errors
  cronq errors --queue mail --older-than 1h
  cronq retry --error 1a7e70ac

Exit status: 0 done, 65 bad input, 69 database out of reach, 78 configuration.
"""

Limit = Annotated[
    str | None, typer.Option("--limit", metavar="N", help="Maximum number of groups; 0 for all (default).")
]


@given.spread
def _errors(
    context: typer.Context,
    *,
    which: given.Which,
    limit: Limit = None,
    utc: given.Utc = False,
    as_json: given.AsJson = False,
) -> None:
    """Group failing jobs by their error, the most frequent first.

    Jobs that failed for good and unfinished jobs whose last attempt failed, unless --state says others. Numbers,
    hashes and quoted names in a message don't tell errors apart. The fingerprint selects the jobs
    of a group: `cronq retry --error FINGERPRINT`.
    """
    call = given.invocation(context)
    chosen = which.selection()
    number = None if limit in (None, "0") else positive(limit, what="--limit")
    with call.store(reading=True) as store:
        alike = store.jobs.failures(chosen._replace(states=chosen.states or FAILING))[:number]
        _print(alike, store, utc=utc, as_json=as_json)
        if not alike and not as_json:
            bulk.hint(call, store, chosen)


def _print(alike: Sequence[FailureGroup], store: Store, *, utc: bool, as_json: bool) -> None:
    from cronq.render.text import document, on_terminal, write

    if as_json:
        write([document([one.to_json() for one in alike])])
    elif not on_terminal():
        from cronq.render.tsv import failure_line

        write(map(failure_line, alike))
    elif alike:
        from cronq.render.console import Screen
        from cronq.render.failures import table
        from cronq.render.relative_time import Ages, TimeStyle

        screen = Screen()
        screen.print(table(alike, screen, Ages(to_datetime(store.clock.now()), TimeStyle.of(utc=utc))))
    else:
        write(["nothing fails"])


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("errors", epilog=_EXAMPLE)(_errors)
