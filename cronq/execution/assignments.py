"""Assign claimed jobs to children, and keep or return those that no child has."""

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
    """Assigns claimed jobs to children, takes them back, and returns to the queue those that none starts."""

    def __init__(self, store: Store, pool: Pool, settling: Settling, next_claim: NextClaim) -> None:
        self.prefetch = Prefetch()
        self.claimed = 0
        """Number of jobs that were claimed and not returned."""
        self.spare: list[Claimed] = []
        """Claimed jobs that wait for a child."""
        self.returned: list[Claimed] = []
        """Claimed jobs that go back to the queue."""
        self._store = store
        self._pool = pool
        self._settling = settling
        self._next_claim = next_claim

    def take(self, jobs: list[Claimed]) -> None:
        """Keep jobs that were claimed just now."""
        self.spare = jobs
        self.claimed += len(jobs)
        steps(jobs, "claimed")

    def takers(self) -> list[tuple[ChildHandle, int]]:
        """Return the children that can take more jobs, the emptiest first, and how many each."""
        ahead = self.prefetch.ahead
        takers = [
            (child, min(ahead - len(child.assigned), self._pool.jobs_left(child)))
            for child in self._pool.children
            if len(child.assigned) <= ahead // 2 and self._pool.has_room(child)
        ]
        return sorted(takers, key=lambda taker: -taker[1])

    def assign(self, children: Sequence[ChildHandle]) -> None:
        """Give the spare jobs to children in turn, so that they start in order; a group's jobs go to one child."""
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
        """Keep jobs for another child; those that follow one in their group go back to the queue."""
        self.returned += [job for job in jobs if job.state == "blocked"]
        self.spare += [job for job in jobs if job.state != "blocked"]

    def recall(self) -> None:
        """Take back from all children what they haven't started."""
        self.take_back(self._pool.recall())

    def return_spare(self, chosen: Callable[[Claimed], bool] = lambda _: True) -> None:
        """Put spare jobs among those that go back to the queue: all, or those chosen."""
        self.returned += [job for job in self.spare if chosen(job)]
        self.spare = [job for job in self.spare if not chosen(job)]

    def release_spare(self) -> None:
        """Return all spare jobs to the queue."""
        self._release(self.spare)
        self.spare = []

    def release_returned(self) -> None:
        """Return followers in groups to the queue, after outcomes were written.

        All of a group at once: else a later job of it could be claimed before the last one is returned.
        """
        if not self.returned:
            return
        assigned = [job for child in self._pool.children for job in child.assigned]
        incomplete = {(job.group, job.token) for job in assigned if job.state == "blocked"}
        back = [job for job in self.returned if (job.group, job.token) not in incomplete]
        if back:
            self._settling.write()
            self._release(back)
            self.returned = [job for job in self.returned if (job.group, job.token) in incomplete]

    def keep(self, held: Callable[[Claimed], bool]) -> None:
        """Forget jobs without a child that this worker doesn't hold any more."""
        self.spare = [job for job in self.spare if held(job)]
        self.returned = [job for job in self.returned if held(job)]

    def _release(self, jobs: list[Claimed]) -> None:
        self._store.release(jobs)
        steps(jobs, "given back")
        self.claimed -= len(jobs)
        self._next_claim.changed()
