"""`cronq exec`: run one job in the foreground."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer  # noqa: TC002 - it reads the annotations itself

from cronq.commands import bulk
from cronq.commands import options as given
from cronq.errors import TryLater
from cronq.model.job import FUTURE, State

if TYPE_CHECKING:
    from cronq.commands import Invocation
    from cronq.model.claimed_job import Claimed
    from cronq.model.job import Job
    from cronq.model.outcome import Settlement
    from cronq.store import Store

_EXAMPLE = """\
Example:

\b
  cronq exec 42
  cronq exec last

Exit status: 0 the attempt succeeded, 1 it didn't, or no such job, 65 bad input, 69 database out of reach,
75 the job can't start now, 78 configuration.
"""

_STARTED_ANYWAY = FUTURE | {State.FAILED}
_GIVEN_UP = 130


def _exec(context: typer.Context, id_: given.JobId) -> int:
    """Run one job in the foreground, with this terminal.

    For debuggers, and for seeing what a job does. The outcome is stored as usual; there is no
    time limit. A job that isn't due is made due, a failed one gets a new number of attempts. Ctrl-C, or
    quit in the debugger, gives the job back without spending an attempt.
    """
    from cronq.config.loader import require_owner
    from cronq.execution.foreground import Foreground
    from cronq.storage.claim_one import Refused

    call = given.invocation(context)
    require_owner(call.config, "exec")
    with call.cronq(with_tasks=True) as queue:
        found, missing = given.jobs(queue.store, [id_])
        given.require_none(missing)
        _prepare(call, queue.store, found[0])
        foreground = Foreground(queue.store, queue.registry, call.config)
        try:
            settled = foreground.run(found[0].id, started=lambda job: _tell_start(call, job))
        except Refused as reason:
            hint = f" (`cronq why {found[0].id}` says what it waits for)" if str(reason) == State.PENDING else ""
            raise TryLater(f"job {found[0].id} can't start now: {reason}{hint}") from None
        return _tell_end(call, settled)


def _prepare(call: Invocation, store: Store, job: Job) -> None:
    """Make a job that failed or isn't due yet ready, without waking workers. Raises TryLater if its queue is paused."""
    if job.queue in store.jobs.paused():
        raise TryLater(f"job {job.id} can't start now: queue {job.queue} is paused (cronq resume {job.queue})")
    if job.state in _STARTED_ANYWAY:
        bulk.note(call, len(store.admin.retry([job.id], wake=False)))


def _tell_start(call: Invocation, job: Claimed) -> None:
    from cronq.render.text import complain

    if not call.quiet:
        complain(f"job {job.id} starts: {job.task}, attempt {job.attempt} of {job.max_attempts}")


def _tell_end(call: Invocation, settled: Settlement | None) -> int:
    from cronq.execution.foreground import GIVEN_UP
    from cronq.model.printable import safe
    from cronq.render.text import complain, last_line
    from cronq.times import SECOND, span

    if settled is None:
        raise TryLater("the outcome was not stored: another runner has taken the job over")
    job, outcome, following, _, _ = settled
    error = outcome.error
    if error is not None and error.kind in GIVEN_UP:
        complain(f"job {job.id} was given back, no attempt was spent")
        return _GIVEN_UP
    if error is not None and error.traceback and sys.stderr is not None:
        sys.stderr.write(safe(error.traceback))
    if error is not None or not call.quiet:
        took = span((outcome.finished_at - outcome.started_at) / SECOND)
        complain(f"job {job.id} is {following.state} after {took}{f': {last_line(error)}' if error else ''}")
    return 0 if following.state == State.FINISHED else 1


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("exec", epilog=_EXAMPLE)(_exec)
