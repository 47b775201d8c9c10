"""Find the facts that explain why a job isn't running."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from cronq.config.command_permission import is_known_here, require_commands
from cronq.errors import ConfigError, CronqError, UnknownTask
from cronq.execution import leftovers
from cronq.model.job import COMMAND_TASK, ENDED, State
from cronq.monitoring.why import Busy, Facts
from cronq.storage import damage
from cronq.times import to_datetime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronq.app import Cronq
    from cronq.config.loader import Config
    from cronq.model.job import Job
    from cronq.storage.stats import QueueStats
    from cronq.store import Store

_STARTED = ENDED | {State.RUNNING}


class FactFinder:
    """Finds facts about jobs. `load_app` loads the configured app; without it, whether its tasks exist is not known."""

    def __init__(self, config: Config, load_app: Callable[[], Cronq] | None = None) -> None:
        self._config = config
        self._load_app = load_app

    def of(self, store: Store, job: Job, stats: QueueStats | None = None) -> Facts:
        """Find the facts about a job; `stats` are those of the queue, if they were read already."""
        stats = stats or store.jobs.stats()
        pending = job.state == State.PENDING
        open_ones = [parent.id for parent in store.flow.parents(job.id) if parent.is_open] if pending else []
        awaited = sorted(open_ones, key=lambda one: (one < 0, one))  # the id of a batch has a minus sign here
        stopped = [one for one in stats.known if one.is_stopped and one.filter.admits(job.queue)]
        listening = [one for one in stats.listeners(job.queue) if one not in stopped]
        place = store.limit_reader.waiting(job.id) if pending else None
        unserved = {queue for queue in (place.ready if place else ()) if not stats.listeners(queue)}
        return Facts(
            now=to_datetime(stats.now),
            paused=stats.paused,
            paused_by=stats.paused_by.get(job.queue),
            last_action=next(reversed(store.actions.of_job(job.id)), None),
            looked_at=None if stats.last_run is None else to_datetime(stats.last_run),
            unclaimable=damage.unclaimable(job) if job.state not in _STARTED else None,
            commands_allowed=job.task != COMMAND_TASK or self._commands_allowed(),
            task_known=self._known(job) if job.state not in _STARTED else None,
            holder=None if job.blocked_by is None else store.jobs.get(job.blocked_by),
            runs_hidden=stats.runs_hidden,
            workers=len(stats.workers),
            listening=len(listening),
            all_paused=all(worker.state == "paused" for worker in listening),
            pids_here=tuple(worker.pid for worker in listening if worker.host == os.uname().nodename),
            stopped=tuple(one.pid for one in stopped),
            owner_stopped=next((one.pid for one in stats.known if one.name == job.worker and one.is_stopped), None),
            owner_seen=next((to_datetime(each.seen_at) for each in stats.known if each.name == job.worker), None),
            lease=timedelta(seconds=self._config.lease),
            outlived_by=leftovers.outliving(self._config, job),
            busy=_busy(store, {worker.name for worker in listening}, job),
            failed_run=next((run for run in stats.failing_runs if run.admits(job.queue)), None),
            place=place,
            unserved=stats.paused | unserved,
            awaited=store.jobs.get(awaited[0]) if awaited and awaited[0] > 0 else None,
            awaited_batch=store.batches.get(-awaited[0]) if awaited and awaited[0] < 0 else None,
            awaited_more=max(0, len(awaited) - 1),
            circle=_circle(store, job, awaited[:1]),
            ahead=store.jobs.ahead_of(job) if job.state == State.READY else None,
        )

    def _known(self, job: Job) -> bool | None:
        """Tell whether the configured app has the task; None without an app, or if it can't be imported."""
        if self._load_app is None or self._config.app is None or job.task == COMMAND_TASK:
            return None
        try:
            with self._load_app() as queue:
                queue.registry.resolve(job.task)
        except UnknownTask:
            return False
        except CronqError:
            return None
        return True

    def _commands_allowed(self) -> bool:
        setting, path = self._config.commands, self._config.database_file()
        if not is_known_here(setting=setting, file=path):
            return True
        try:
            require_commands(setting=setting, file=path)
        except ConfigError:
            return False
        return True


def _circle(store: Store, job: Job, awaited: Sequence[int]) -> int | None:
    """Find the job to release if the job, or what it comes after, waits for itself; None if neither does."""
    found = (store.batches.closing_circle(one) for one in (job.id, *awaited) if awaited)
    return next((closing for closing in found if closing is not None), None)


def _busy(store: Store, workers: set[str], job: Job) -> tuple[Busy, ...]:
    """Read the jobs that these workers run, the oldest first, without `job`, which may have started since."""
    found = store.jobs.running()
    running = sorted((since, one, task) for worker, one, task, since in found if worker in workers and one != job.id)
    return tuple(Busy(one, task, to_datetime(since)) for since, one, task in running)
