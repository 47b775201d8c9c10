"""Which child gets which claimed job, and what happens to claimed jobs that no child has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.execution.prefetch import Prefetch
from cronq.system.log import steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronq.execution.child_handle import ChildHandle
    from cronq.execution.next_look import NextLook
    from cronq.execution.pool import Pool
    from cronq.execution.settling import Settling
    from cronq.model.job import Claimed
    from cronq.store import Store


class Assignments:
    """Assigns claimed jobs to children, takes them back, and gives back to the queue what none of them starts."""

    def __init__(self, store: Store, pool: Pool, settling: Settling, look: NextLook) -> None:
        self.prefetch = Prefetch()
        self.claimed = 0
        """Jobs that were claimed and not given back."""
        self.spare: list[Claimed] = []
        """Claimed jobs that wait for a child."""
        self.returned: list[Claimed] = []
        """Claimed jobs that go back to the queue."""
        self._store = store
        self._pool = pool
        self._settling = settling
        self._look = look

    def take(self, jobs: list[Claimed]) -> None:
        """Keep jobs that were claimed just now."""
        self.spare = jobs
        self.claimed += len(jobs)
        steps(jobs, "claimed")

    def takers(self) -> list[tuple[ChildHandle, int]]:
        """The children that can take more jobs, the emptiest first, and how many each."""
        ahead = self.prefetch.ahead
        takers = [
            (child, min(ahead - len(child.hand), self._pool.jobs_left(child)))
            for child in self._pool.members
            if len(child.hand) <= ahead // 2 and self._pool.has_room(child)
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
        """Give all spare jobs back to the queue."""
        self._release(self.spare)
        self.spare = []

    def release_returned(self) -> None:
        """Give back to the queue what followed others in their groups; outcomes are written before.

        All of a group at once: else a job behind them could be claimed before the last is back.
        """
        if not self.returned:
            return
        assigned = [job for child in self._pool.members for job in child.hand]
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
        self._look.changed()
