"""`cronq status`: how the queue stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer  # noqa: TC002 - it reads the annotations itself

from cronq.commands import options as given
from cronq.locks import last_run
from cronq.times import iso, to_datetime

if TYPE_CHECKING:
    from collections.abc import Sequence

_STATUS_EXAMPLE = """\
Example:

\b
  cronq status
  cronq status --json | jq .queues.mail.failed

Exit status: 0 done, 69 database out of reach, 78 configuration.
"""


def _status(context: typer.Context, *, as_json: given.AsJson = False) -> None:
    """Count the jobs by queue and state; tell the oldest ready job and the last run."""
    from cronq import render

    call = given.invocation(context)
    with call.store() as store:
        counts = store.counts()
        oldest = store.oldest_ready()
        paused = sorted(store.paused())
    looked = last_run(call.config)
    if as_json:
        render.write([render.document(_summary(counts, oldest, looked, paused))])
        return
    render.print_counts(counts)
    render.write(_remarks(oldest, looked, paused))


def _summary(
    counts: Sequence[tuple[str, str, int]], oldest: int | None, looked: int | None, paused: Sequence[str]
) -> dict[str, Any]:
    queues: dict[str, dict[str, int]] = {}
    for queue, state, number in counts:
        queues.setdefault(queue, {})[state] = number
    return {
        "queues": queues,
        "oldest_ready_at": None if oldest is None else iso(oldest),
        "last_run_at": None if looked is None else iso(looked),
        "paused": list(paused),
    }


def _remarks(oldest: int | None, looked: int | None, paused: Sequence[str]) -> list[str]:
    from cronq.render import one_line, time

    due = "none" if oldest is None else f"due since {time(to_datetime(oldest))}"
    last = "none yet" if looked is None else time(to_datetime(looked))
    lines = [f"oldest ready job: {due}", f"last run: {last}"]
    return lines + [f"paused: {one_line(queue)}" for queue in paused]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("status", epilog=_STATUS_EXAMPLE)(_status)
