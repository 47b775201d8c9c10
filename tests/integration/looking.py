"""Read the jobs of a test's queue."""

from __future__ import annotations

from cronq.app import Cronq
from cronq.model.job import Job


def stored(queue: Cronq, job: Job) -> Job:
    """Return the job as it is in the database."""
    found = queue.get(job.id)
    assert found is not None
    return found


def count(queue: Cronq) -> int:
    """Return the number of jobs."""
    return sum(number for _, _, number in queue.store.jobs.counts())


class Report:
    """A class that is a task."""

    def perform(self, url: str, depth: int = 1) -> str:
        return f"{url}/{depth}"
