"""Claim due jobs by a filter, for `run` and `work`."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from cronq.execution.prefetch import LARGEST_CLAIM
from cronq.model.selection import Filter
from cronq.times import SECOND

if TYPE_CHECKING:
    from cronq.execution.engine import Engine
    from cronq.model.job import Claimed
    from cronq.store import Store

_LOOK_AGAIN = 0.1
"""Seconds until the next claim after one that found fewer jobs than it could take."""


_WORTH_WAITING = 2.0
"""The most seconds that a run waits for a rate to allow a job to start."""


class Plan(NamedTuple):
    """The jobs to run, the number of children, and the number of jobs or seconds after which to end.

    `children` None stands for the configured number, `limit` and `seconds` None for no limit.
    """

    wanted: Filter = Filter()
    children: int | None = None
    limit: int | None = None
    seconds: float | None = None


class DueJobs:
    """Claims the first due jobs of a plan for an engine, unless a claim a moment ago found none.

    `poll` is the number of seconds until the next claim after one that found none; None for 0.1 s.
    """

    promotes = True

    def __init__(self, store: Store, engine: Engine, plan: Plan, *, poll: float | None = None) -> None:
        self.paused = False
        """Whether it claims nothing for now."""
        self.started = time.monotonic()
        self._store = store
        self._engine = engine
        self._plan = plan
        self._poll = poll
        self._opened = False
        """Whether a rate has allowed a start, and no claim since has taken a job."""

    @property
    def exhausted(self) -> bool:
        """Whether a limit of the plan is reached, or the engine was told to stop."""
        over = self._plan.seconds
        if over is not None and time.monotonic() - self.started >= over:
            return True
        return self._engine.stopping.asked or self._room() < 1

    def _room(self) -> int:
        """Return the number of jobs that it may still claim within the plan's limit."""
        return LARGEST_CLAIM if self._plan.limit is None else self._plan.limit - self._engine.assignments.claimed

    def take(self, count: int) -> list[Claimed]:
        """Claim the first due jobs, up to `count`; none while paused or exhausted, or before the next claim is due."""
        next_claim = self._engine.next_claim
        if self.paused or self.exhausted or time.monotonic() < next_claim.at:
            return []
        limit = min(count, LARGEST_CLAIM, self._room())
        jobs = self._engine.leases.claim(partial(self._store.claim, self._plan.wanted, limit=limit))
        next_claim.found_nothing = not jobs
        if jobs:
            self._opened = False
            self._engine.assignments.prefetch.weigh(jobs)
        if len(jobs) < limit:
            next_claim.at = time.monotonic() + self._pause_after(jobs)
        return jobs

    def _pause_after(self, jobs: list[Claimed]) -> float:
        """Return the seconds until the next claim: 0.1 after one with jobs, else `poll`; reads the next due time."""
        if jobs or self._poll is None:
            return _LOOK_AGAIN
        self._engine.next_claim.due = self._store.next_due()
        return self._poll

    def promote(self) -> bool:
        """Promote due jobs; tell whether a claim may find any: after a promotion, or a claim that found some."""
        next_claim = self._engine.next_claim
        if self._store.leases.promote(self._store.clock.now()):
            next_claim.changed()
        if not next_claim.found_nothing:
            next_claim.at = 0.0
        return not next_claim.found_nothing

    def open_rates(self) -> float | None:
        """Admit the jobs that a rate allows to start; return the seconds until it allows one, None if none does.

        None, too, if it takes more than 2 s, or if a rate allowed a start before and this run has claimed no job since:
        that job is one for other runners.
        """
        opening = self._store.next_opening()
        if opening is None or self._opened:
            return None
        seconds = (opening - self._store.clock.now()) / SECOND
        if seconds > _WORTH_WAITING:
            return None
        if seconds <= 0:
            self._opened = True
            self._store.open_rates()
            self._engine.next_claim.changed()
        return max(0.0, seconds)
