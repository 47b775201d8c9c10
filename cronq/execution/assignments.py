"""Assign claimed jobs to children; keep jobs that wait for a child, return to the queue jobs that none starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.execution.prefetch import Prefetch
from cronq.system.log import steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronq.execution.child_handle import ChildHandle
    from cronq.execution.next_claim import NextClaim
    from cronq.execution.pool import Pool
    from cronq.execution.settling import Settling
    from cronq.model.job import Claimed
    from cronq.store import Store


class Assignments:
    """Assigns claimed jobs to children, takes them back, and returns to the queue those that no child starts."""

    def __init__(self, store: Store, pool: Pool, settling: Settling, next_claim: NextClaim) -> None:
        self.prefetch = Prefetch()
        self.claimed = 0
        """The number of jobs claimed so far, without those returned to the queue."""
        self.spare: list[Claimed] = []
        """Claimed jobs that wait for a child."""
        self.to_return: list[Claimed] = []
        """Claimed jobs that `return_jobs` is to return to the queue."""
        self._store = store
        self._pool = pool
        self._settling = settling
        self._next_claim = next_claim

    def take(self, jobs: list[Claimed]) -> None:
        """Make the jobs of a new claim the spare ones; count and log them."""
        self.spare = jobs
        self.claimed += len(jobs)
        steps(jobs, "claimed")

    def takers(self) -> list[tuple[ChildHandle, int]]:
        """Return the children that can take more jobs, each with how many it can take; the largest number first."""
        ahead = self.prefetch.ahead
        takers = [
            (child, min(ahead - len(child.assigned), self._pool.jobs_left(child)))
            for child in self._pool.children
            if len(child.assigned) <= ahead // 2 and self._pool.has_room(child)
        ]
        return sorted(takers, key=lambda taker: -taker[1])

    def assign(self, children: Sequence[ChildHandle]) -> None:
        """Assign the spare jobs to children in turn, so that they start in order; a group's jobs go to one child."""
        shares: list[list[Claimed]] = [[] for _ in children]
        places: dict[str, int] = {}
        for number, job in enumerate(self.spare):
            place = number % len(children)
            if job.group is not None:
                place = places.setdefault(job.group, place)
            shares[place].append(job)
        self.spare = []
        for child, jobs in zip(children, shares, strict=True):
            room = self._pool.jobs_left(child)
            if len(jobs) > room:
                self.take_back(jobs[room:])
                del jobs[room:]
            if jobs:
                child.give(jobs)

    def take_back(self, jobs: Sequence[Claimed]) -> None:
        """Keep unstarted jobs for another child; add `blocked` ones, after one of their group, to `to_return`."""
        self.to_return += [job for job in jobs if job.state == "blocked"]
        self.spare += [job for job in jobs if job.state != "blocked"]

    def recall(self) -> None:
        """Take back the unstarted jobs of all children."""
        self.take_back(self._pool.recall())

    def return_spare(self, chosen: Callable[[Claimed], bool] = lambda _: True) -> None:
        """Move the spare jobs for which `chosen` is true, by default all, to `to_return`."""
        self.to_return += [job for job in self.spare if chosen(job)]
        self.spare = [job for job in self.spare if not chosen(job)]

    def release_spare(self) -> None:
        """Return all spare jobs to the queue."""
        self._release(self.spare)
        self.spare = []

    def return_jobs(self) -> None:
        """Return the jobs of `to_return` to the queue, after writing all outcomes.

        Jobs of a group wait until no child has a `blocked` one of it: they must be returned at once, or a later job of
        the group could be claimed before the last of them is returned.
        """
        if not self.to_return:
            return
        assigned = [job for child in self._pool.children for job in child.assigned]
        incomplete = {(job.group, job.token) for job in assigned if job.state == "blocked"}
        back = [job for job in self.to_return if (job.group, job.token) not in incomplete]
        if back:
            self._settling.write()
            self._release(back)
            self.to_return = [job for job in self.to_return if (job.group, job.token) in incomplete]

    def keep(self, held: Callable[[Claimed], bool]) -> None:
        """Drop those jobs without a child whose lease is lost: those for which `held` is false."""
        self.spare = [job for job in self.spare if held(job)]
        self.to_return = [job for job in self.to_return if held(job)]

    def _release(self, jobs: list[Claimed]) -> None:
        self._store.release(jobs)
        steps(jobs, "given back")
        self.claimed -= len(jobs)
        self._next_claim.changed()
