"""`cronq why`: say why a job isn't running."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

import typer  # noqa: TC002 - it reads the annotations itself

from cronq.commands import options as given
from cronq.model.job import COMMAND_TASK, State
from cronq.times import to_datetime

if TYPE_CHECKING:
    from cronq.commands import Invocation
    from cronq.model.job import Job
    from cronq.monitoring.why import Busy, Facts
    from cronq.store import Store

_WHY_EXAMPLE = """\
Example:

\b
  $ cronq why 42
  Job 42 is blocked: group "invoice-7" is held by job 40, which is running.
  $ cronq why report.daily
  Schedule "report.daily" is paused by ann@web1 since 2026-11-28 09:00:00+01:00: moving.

Exit status: 0 done, 1 no such job, 65 bad input, 69 database out of reach, 78 configuration.
"""


def _why(context: typer.Context, ids: given.SomeJobs, *, as_json: given.AsJson = False) -> None:
    """Say why a job isn't running, or a schedule isn't due."""
    from cronq.execution import leftovers
    from cronq.model.printable import one_line
    from cronq.monitoring import why
    from cronq.render.text import document, write

    call = given.invocation(context)
    with call.store(reading=True) as store:
        if len(ids) == 1 and store.schedules.get(ids[0]) is not None:
            _tell_of_schedule(store, ids[0], as_json=as_json)
            return
        jobs, missing = given.jobs(store, ids)
        found = [leftovers.with_its_process(call.config, job) for job in jobs]
        told = [(job, why.explain(job, _facts(call, store, job))) for job in found]
    if as_json:
        shown = [{"id": job.id, "state": str(job.state), "why": sentence} for job, sentence in told]
        write([document(shown)] if len(ids) > 1 else map(document, shown))
    else:
        write(one_line(sentence) for _, sentence in told)
    given.require_none(missing)


def _tell_of_schedule(store: Store, name: str, *, as_json: bool) -> None:
    from cronq.model.printable import one_line
    from cronq.monitoring.schedules import blocker_of, explain, queue_of, views
    from cronq.render.text import document, write

    (view,) = views(store, [name])
    stats = store.jobs.stats()
    job = blocker_of(view)
    blocker = None if job is None else store.jobs.get(job)
    paused = queue_of(view) in stats.paused
    sentence = explain(view, looked_at=stats.last_run, queue_paused=paused, blocker=blocker)
    if as_json:
        write([document({"schedule": name, "state": view.state, "why": sentence})])
    else:
        write([one_line(sentence)])


def _facts(call: Invocation, store: Store, job: Job) -> Facts:
    from cronq.execution import leftovers
    from cronq.monitoring.why import Facts

    stats = store.jobs.stats()
    awaited = [parent.id for parent in store.flow.parents(job.id) if parent.is_open] if _is_pending(job) else []
    listening = stats.listeners(job.queue)
    return Facts(
        now=to_datetime(stats.now),
        paused=stats.paused,
        paused_by=stats.paused_by.get(job.queue),
        last_action=next(reversed(store.actions.of_job(job.id)), None),
        looked_at=None if stats.last_run is None else to_datetime(stats.last_run),
        commands_allowed=job.task != COMMAND_TASK or _commands_allowed(call),
        task_known=_known(call, job) if job.state not in _OVER else None,
        holder=None if job.blocked_by is None else store.jobs.get(job.blocked_by),
        runs_hidden=stats.runs_hidden,
        workers=len(stats.workers),
        listening=len(listening),
        idle=all(worker.state == "paused" for worker in listening),
        idle_pids=tuple(worker.pid for worker in listening if worker.host == os.uname().nodename),
        stopped=tuple(one.pid for one in stats.known if one.is_stopped and one.filter.admits(job.queue)),
        owner_stopped=next((one.pid for one in stats.known if one.name == job.worker and one.is_stopped), None),
        owner_seen=next((to_datetime(each.seen_at) for each in stats.known if each.name == job.worker), None),
        lease=timedelta(seconds=call.config.lease),
        outlived_by=leftovers.outliving(call.config, job),
        busy=_busy(store, {worker.name for worker in listening}),
        failed_run=next((run for run in stats.failing_runs if run.admits(job.queue)), None),
        awaited=store.jobs.get(awaited[0]) if awaited else None,
        awaited_more=max(0, len(awaited) - 1),
        ahead=store.jobs.ahead_of(job) if job.state == State.READY else None,
    )


def _busy(store: Store, workers: set[str]) -> tuple[Busy, ...]:
    """Read the jobs that these workers run, the oldest first."""
    from cronq.monitoring.why import Busy

    running = sorted((since, job_id, task) for worker, job_id, task, since in store.jobs.running() if worker in workers)
    return tuple(Busy(job_id, task, to_datetime(since)) for since, job_id, task in running)


_OVER = (State.RUNNING, State.FINISHED, State.FAILED, State.CANCELLED)


def _is_pending(job: Job) -> bool:
    return job.state == State.PENDING


def _known(call: Invocation, job: Job) -> bool | None:
    """Tell whether the configured app has the task; None without an app, or if it can't be imported."""
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
    from cronq.config.command_permission import require_commands
    from cronq.errors import ConfigError

    try:
        require_commands(setting=call.config.commands, sqlite_path=call.config.sqlite_path())
    except ConfigError:
        return False
    return True


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("why", epilog=_WHY_EXAMPLE)(_why)
