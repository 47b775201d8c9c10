"""`cronq copy`: copy a queue into another database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cronq.commands import bulk
from cronq.commands import options as given
from cronq.errors import TryLater

if TYPE_CHECKING:
    from cronq.config.loader import Config
    from cronq.storage.copying import Counts
    from cronq.store import Store

_EXAMPLE = """\
Example:

\b
  cronq drain --all
  cronq copy --to mysql+pymysql://cronq@db.example.org/cronq
  cronq --db mysql+pymysql://cronq@db.example.org/cronq resume --all

Exit status: 0 copied and verified, 65 the database has jobs of its own, 69 a database is out of reach,
75 a queue isn't paused, a job runs, or the source has changed meanwhile, 78 configuration.
"""

To = Annotated[str, typer.Option("--to", metavar="URL", help="The database to copy to.", show_default=False)]


def _copy(context: typer.Context, *, to: To, as_json: given.AsJson = False) -> None:
    """Copy the whole queue into another database, verified.

    Jobs in all states keep their ids, attempts, groups and keys; queues stay paused. An interrupted copy
    goes on when the command is repeated. The queue must be drained before.
    """
    from cronq.render.progress import bar
    from cronq.store import Store
    from cronq.times import Clock

    call = given.invocation(context)
    other = call.config.with_values("--to", database=to)
    with call.store() as source, Store(other, Clock()) as target:
        _require_drained(source)
        number = sum(row[-1] for row in source.jobs.counts())
        with bar("copied", number, quiet=call.quiet) as advance:
            counts = source.copy_to(target, advance)
    bulk.note(call, sum(row[-1] for row in counts.jobs))
    _tell(counts, other, as_json=as_json)


def _require_drained(store: Store) -> None:
    """Raise TryLater unless all queues with unfinished jobs are paused and nothing runs."""
    from cronq.model.job import UNFINISHED

    unfinished = {queue for queue, state, _ in store.jobs.counts() if state in UNFINISHED}
    running = sorted(unfinished - store.jobs.paused())
    if running:
        raise TryLater(f"queue {running[0]} isn't paused (cronq drain --all)")
    leased = store.jobs.leased()
    if leased:
        raise TryLater(f"job {leased[0][0]} still runs (cronq drain --all)")


def _tell(counts: Counts, other: Config, *, as_json: bool) -> None:
    from cronq.render.text import document, write

    jobs = sum(row[-1] for row in counts.jobs)
    if as_json:
        write([document({"database": other.safe_database(), "jobs": jobs, "attempts": counts.attempts})])
    else:
        write([f"{jobs:,} jobs and {counts.attempts:,} failed attempts are in {other.safe_database()}"])


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("copy", epilog=_EXAMPLE)(_copy)
