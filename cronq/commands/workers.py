"""`cronq workers` and `cronq reload-workers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cronq.commands import bulk
from cronq.commands import options as given
from cronq.commands.fast_options import positive
from cronq.storage.workers import END
from cronq.times import SECOND, span, to_datetime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.monitoring.worker_views import WorkerView
    from cronq.storage.workers import Worker
    from cronq.store import Store

_WORKERS_EXAMPLE = """\
Example:

\b
  cronq workers
  cronq workers --json | jq '.[] | select(.state == "dead")'

Exit status: 0 done, 69 database out of reach, 78 configuration.
"""

_RELOAD_EXAMPLE = """\
Example:

\b
  cronq reload-workers                       after a deploy
  cronq reload-workers mail 1

Exit status: 0 asked, 1 no worker takes jobs of QUEUE, 65 bad input, 69 database out of reach,
78 configuration.
"""


AnyQueue = Annotated[
    str | None, typer.Argument(metavar="QUEUE", help="Only those that take jobs of it.", show_default=False)
]
Number = Annotated[
    str | None,
    typer.Argument(metavar="NUMBER", help="At most N workers, the oldest first.", show_default=False),
]


def _workers(context: typer.Context, *, as_json: given.AsJson = False) -> None:
    """List the workers on all hosts with their running jobs.

    A worker that died is shown as dead until another one has rescued its jobs, one that a signal has
    stopped (SIGSTOP) as stopped.
    """
    from cronq.monitoring.worker_views import worker_views
    from cronq.render.text import document, on_terminal, write
    from cronq.render.tsv import tabbed

    call = given.invocation(context)
    with call.store(reading=True) as store:
        seen = list(worker_views(store, call.config))
        now = store.clock.now()
    if as_json:
        write([document([one.to_json() for one in seen])])
    elif on_terminal():
        _print_table(seen, now)
    else:
        write(tabbed(*_cells(one, now)) for one in seen)


def _cells(seen: WorkerView, now: int) -> tuple[str, ...]:
    from cronq.render.text import time

    worker = seen.worker
    return (
        worker.name,
        worker.host,
        str(worker.pid),
        worker.kind,
        worker.queues or "*",
        seen.state,
        str(worker.jobs_done),
        ", ".join(f"{job.id} {job.task} for {span(_age(job.started_at, now))}" for job in seen.jobs),
        time(to_datetime(worker.seen_at)),
    )


def _age(instant: int, now: int) -> float:
    return max(0.0, (now - instant) / SECOND)


_COLOURS = {"dead": "bold red", "paused": "yellow", "ending": "dim"}


def _print_table(seen: Sequence[WorkerView], now: int) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("host", "pid", "kind", "queues", "state", "done", "runs", "seen", box=box.SIMPLE_HEAD, pad_edge=False)
    for one in seen:
        _, host, pid, kind, queues, state, done, runs, _ = map(_plain, _cells(one, now))
        state.stylize(_COLOURS.get(one.state, ""))
        table.add_row(host, pid, kind, queues, state, done, runs, _plain(_ago(one.worker.seen_at, now)))
    Console(highlight=False, markup=False).print(table)


def _plain(text: str) -> Any:
    from rich.text import Text

    from cronq.model.printable import one_line

    return Text(one_line(text))


def _ago(instant: int, now: int) -> str:

    return f"{span(_age(instant, now))} ago"


def _reload_workers(context: typer.Context, queue: AnyQueue = None, number: Number = None) -> int:
    """Ask workers to exit after their jobs, to be started again.

    Their supervisor restarts them. Prints their names.

    They obey within a second, on every host. Running jobs are finished, and no attempt is spent.
    """
    from cronq.render.text import complain, write

    count = positive(number, what="NUMBER")
    call = given.invocation(context)
    with call.store() as store:
        asked = [one.name for one in _meant(store, queue)[:count] if store.workers.ask(one.name, END)]
    if asked:
        bulk.note(call)
    write(asked)
    if not asked and queue is not None:
        complain(f"no worker takes jobs of {queue}")
        return 1
    return 0


def _meant(store: Store, queue: str | None) -> list[Worker]:
    staying = (one for one in store.workers.all() if one.kind == "work" and one.asked is None)
    return [one for one in staying if queue is None or one.filter.admits(queue)]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    app.command("workers", epilog=_WORKERS_EXAMPLE)(_workers)
    app.command("reload-workers", epilog=_RELOAD_EXAMPLE)(_reload_workers)
