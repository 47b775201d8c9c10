"""Check for jobs that this installation won't run."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from cronq.app import load_app
from cronq.config.command_permission import is_known_here, require_commands
from cronq.errors import ConfigError, CronqError, UnknownTask
from cronq.execution import leftovers
from cronq.model.job import COMMAND_TASK, UNFINISHED, State
from cronq.monitoring.doctor.finding import Finding, fine, problem, warning
from cronq.times import iso

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.monitoring.doctor.context import Installation

_SEEN = 10_000
"""The most jobs of each state that are checked."""

_LATE = 180.0
_UNFINISHED = sorted(UNFINISHED - {State.RUNNING})


def commands(installation: Installation) -> Iterator[Finding]:
    """Check whether jobs may be shell commands; no finding if that depends on the runs of another user."""
    setting, path = installation.config.commands, installation.config.database_file()
    if not is_known_here(setting=setting, file=path):
        return
    try:
        require_commands(setting=setting, file=path)
    except ConfigError as error:
        waiting = _tasks(installation).get(COMMAND_TASK, 0)
        if waiting:
            yield problem(
                f"{waiting} shell commands are queued, but {error}", "allow them, or `cronq cancel --task command`"
            )
        else:
            yield fine(str(error))
    else:
        yield fine("jobs may be shell commands")


def unknown_tasks(installation: Installation) -> Iterator[Finding]:
    """Find queued jobs whose task the app doesn't know."""
    tasks = {task: number for task, number in _tasks(installation).items() if task != COMMAND_TASK}
    if not tasks:
        return
    try:
        queue = load_app(installation.config)
    except CronqError:
        return  # the check of the app has reported it
    unknown = 0
    with closing(queue):
        for task, number in tasks.items():
            try:
                queue.registry.resolve(task)
            except UnknownTask as error:
                unknown += 1
                yield problem(
                    f"{number} queued jobs: {error}",
                    f"deploy the code that has it, correct `app`, or `cronq cancel --task {task}`",
                )
    if not unknown:
        yield fine(f"the app knows the tasks of all queued jobs ({len(tasks)})")


def _tasks(installation: Installation) -> dict[str, int]:
    """Count the tasks of the first unfinished jobs in each state."""
    tasks: dict[str, int] = {}
    if installation.database is None or installation.stats is None:
        return tasks
    for state in _UNFINISHED:
        if installation.stats.total(state):
            for task, number in installation.database.query(installation.sql.reads.tasks_of, (state, _SEEN)):
                tasks[task] = tasks.get(task, 0) + number
    return tasks


def unserved_queues(installation: Installation) -> Iterator[Finding]:
    """Find queues with due jobs that no worker takes, although workers run."""
    stats = installation.stats
    if stats is None:
        return
    for queue, since in sorted(stats.due_since.items()):
        age = stats.age(since) or 0.0
        if age > _LATE and queue not in stats.paused and stats.workers and not stats.listeners(queue):
            yield warning(
                f"queue {queue}: a job is due for {age / 60:.0f} min, and none of the {len(stats.workers)} workers"
                " takes jobs of this queue",
                f"start one: `cronq work --queue {queue}`, or a `cronq run` without `--queue`",
            )


def unclaimable(installation: Installation) -> Iterator[Finding]:
    """Find ready jobs that were written by hand in a form that no runner claims."""
    if installation.database is None or installation.stats is None or not installation.sql.reads.unclaimable:
        return
    for (job_id,) in installation.database.query(installation.sql.reads.unclaimable):
        yield problem(
            f"job {job_id}: no runner takes it: its queue, priority or group is of another type than it must have",
            f"`cronq why {job_id}` says which, and what puts it right",
        )


def unkillable(installation: Installation) -> Iterator[Finding]:
    """Find running jobs that aren't rescued because cronq may not kill their processes."""
    if installation.database is None or installation.stats is None:
        return
    running = installation.database.query(installation.sql.reads.in_hand)
    jobs = {job_id for _, job_id, *_ in running}
    for job_id, processes in leftovers.refusing(
        installation.config, sorted({worker for worker, *_ in running if type(worker) is str})
    ):
        if job_id in jobs:
            yield problem(
                f"job {job_id} is not started again before {processes} has ended, which cronq may not kill",
                "end it as root, or as the user that it runs as",
            )


def paused_queues(installation: Installation) -> Iterator[Finding]:
    """Find paused queues."""
    stats = installation.stats
    for queue in sorted(stats.paused) if stats is not None else ():
        waiting = "jobs are due in it" if stats is not None and queue in stats.due_since else "nothing is due in it"
        action = None if stats is None else stats.paused_by.get(queue)
        by = f" by {action.who} since {iso(action.at)}" if action is not None else ""
        yield warning(f"queue {queue} is paused{by}, {waiting}", f"`cronq resume {queue}` lets its jobs run again")
