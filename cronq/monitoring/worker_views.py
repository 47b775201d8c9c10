"""Read the registered workers with their running jobs and their states, also those that died."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.locks import looks_dead
from cronq.storage.workers import END
from cronq.times import SECOND, iso

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cronq.config.loader import Config
    from cronq.storage.workers import Worker
    from cronq.store import Store


class RunningJob(NamedTuple):
    """A job that a worker runs, and the instant at which it started."""

    id: int
    task: str
    started_at: int


class WorkerView(NamedTuple):
    """A worker with its running jobs and its state."""

    worker: Worker
    state: str
    jobs: Sequence[RunningJob]

    def to_json(self) -> dict[str, Any]:
        """Return the worker with its documented field names."""
        jobs = [{"id": job.id, "task": job.task, "started_at": iso(job.started_at)} for job in self.jobs]
        return {**self.worker.to_json(), "state": self.state, "jobs": jobs}


def worker_views(store: Store, config: Config) -> Iterator[WorkerView]:
    """Read all registered workers, also those that died."""
    running: dict[str, list[RunningJob]] = defaultdict(list)
    for worker, *job in store.jobs.running():
        running[worker].append(RunningJob._make(job))
    silent = store.clock.now() - round(config.lease * SECOND)
    for one in store.workers.all():
        state = _state(one, dead=looks_dead(config, one.name), silent=one.seen_at < silent)
        yield WorkerView(one, state, running[one.name])


def _state(worker: Worker, *, dead: bool, silent: bool) -> str:
    if not dead and worker.is_stopped:
        return "stopped"
    if dead or silent:
        return "dead"
    return "ending" if worker.asked == END else worker.state
