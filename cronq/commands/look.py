"""Looking: ls, show, why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cronq.commands import options as given
from cronq.commands.arguments import positive
from cronq.errors import JobNotFound
from cronq.job import COMMAND_TASK, State
from cronq.locks import last_run
from cronq.times import to_datetime

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cronq.commands import Invocation
    from cronq.job import Attempt, Job
    from cronq.selection import Selection
    from cronq.store import Store
    from cronq.why import Facts

SCREENFUL = 20
HANDFUL = 100
"""Jobs that `ls` shows without --limit: on a terminal, and elsewhere."""

_LS_EXAMPLE = """\
Example:

\b
  cronq ls --state failed,retrying
  cronq ls --queue mail --limit 0 | cut -f 1,3
  cronq ls --key mail-7 --json

Elsewhere than on a terminal: tab-separated lines without a heading, nothing cut.
Exit status: 0 done, 65 bad input, 69 database out of reach, 78 configuration.
"""

Limit = Annotated[
    str | None,
    typer.Option("--limit", metavar="N", help="At most so many, 0 for all (20 on a terminal, else 100)."),
]


@given.spread
def _ls(context: typer.Context, *, which: given.Which, limit: Limit = None, as_json: given.AsJson = False) -> None:
    """List jobs, newest first."""
    from cronq import render

    call = given.invocation(context)
    number = _limit(limit)
    with call.store() as store:
        jobs, more = _newest(store, which.selection(), number)
        now = _now(store)
    if as_json:
        render.write([render.document([job.to_json() for job in jobs])])
    elif render.on_terminal():
        render.print_jobs(jobs, now=now)
    else:
        render.write(map(render.job_line, jobs))
    if more and limit is None and not call.quiet:
        render.complain(f"only the newest {number} are shown; --limit 0 shows all")


def _limit(text: str | None) -> int | None:
    from cronq.render import on_terminal

    if text is None:
        return SCREENFUL if on_terminal() else HANDFUL
    return None if text == "0" else positive(text, what="--limit")


def _newest(store: Store, selection: Selection, number: int | None) -> tuple[Sequence[Job], bool]:
    """The newest jobs, and whether there are more of them."""
    if number is None:
        return store.find(selection), False
    jobs = store.find(selection, limit=number + 1)
    return jobs[:number], len(jobs) > number


_SHOW_EXAMPLE = """\
Example:

\b
  cronq show 42
  cronq show 42 --json | jq .error

Exit status: 0 done, 1 no such job, 65 bad input, 69 database out of reach, 78 configuration.
"""


def _show(context: typer.Context, id_: given.JobId, *, as_json: given.AsJson = False) -> None:
    """Show all about one job: times, arguments, attempts with their errors, output."""
    from cronq import render

    with given.invocation(context).store() as store:
        job = require(store, id_)
        attempts, output = store.attempts(job.id), store.output(job.id)
    if as_json:
        render.write([render.document(_whole(job, attempts, output))])
    else:
        render.write(render.job_page(job, attempts, output))


def require(store: Store, text: str) -> Job:
    """The job with the id in the text. Raises InvalidInput, JobNotFound."""
    number = given.job_id(text)
    job = store.get(number)
    if job is None:
        raise JobNotFound(f"there is no job {number}")
    return job


def _whole(job: Job, attempts: Sequence[Attempt], output: tuple[str | None, str | None]) -> dict[str, Any]:
    stdout, stderr = output
    return {
        **job.to_json(),
        "attempts": [attempt.to_json() for attempt in attempts],
        "output": {"stdout": stdout, "stderr": stderr},
    }


_WHY_EXAMPLE = """\
Example:

\b
  $ cronq why 42
  Job 42 is blocked: group "invoice-7" is held by job 40, which is running.

Exit status: 0 done, 1 no such job, 65 bad input, 69 database out of reach, 78 configuration.
"""


def _why(context: typer.Context, id_: given.JobId, *, as_json: given.AsJson = False) -> None:
    """Say in one sentence why a job isn't running."""
    from cronq import render, why

    call = given.invocation(context)
    with call.store() as store:
        job = require(store, id_)
        sentence = why.explain(job, _facts(call, store, job))
    if as_json:
        render.write([render.document({"id": job.id, "state": str(job.state), "why": sentence})])
    else:
        render.write([render.one_line(sentence)])


def _facts(call: Invocation, store: Store, job: Job) -> Facts:
    from cronq.why import Facts

    looked = last_run(call.config)
    return Facts(
        now=_now(store),
        paused=frozenset(store.paused()),
        looked_at=None if looked is None else to_datetime(looked),
        commands_allowed=job.task != COMMAND_TASK or _commands_allowed(call),
        task_known=_known(call, job) if job.state not in _OVER else None,
        holder=None if job.blocked_by is None else store.get(job.blocked_by),
    )


_OVER = (State.RUNNING, State.FINISHED, State.FAILED, State.CANCELLED)


def _known(call: Invocation, job: Job) -> bool | None:
    """Whether the configured app knows the task; None without one, or when it can't be imported."""
    from cronq.errors import CronqError, UnknownTask

    if call.config.app is None or job.task == COMMAND_TASK:
        return None
    try:
        with call.cronq(with_tasks=True) as queue:
            queue.registry.resolve(job.task)
    except UnknownTask:
        return False
    except CronqError:
        return None
    return True


def _commands_allowed(call: Invocation) -> bool:
    from cronq.errors import ConfigError
    from cronq.permissions import require_commands

    try:
        require_commands(setting=call.config.commands, sqlite_path=call.config.sqlite_path())
    except ConfigError:
        return False
    return True


def _now(store: Store) -> datetime:
    return to_datetime(store.clock.now())


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    app.command("ls", epilog=_LS_EXAMPLE)(_ls)
    app.command("show", epilog=_SHOW_EXAMPLE)(_show)
    app.command("why", epilog=_WHY_EXAMPLE)(_why)
