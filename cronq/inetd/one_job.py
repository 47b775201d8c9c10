"""Seeing one job through that was started before there was an engine: the rest of a connection's life."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from cronq.execution.engine import Engine, RunnerInfo
from cronq.execution.pool import TICK

if TYPE_CHECKING:
    from cronq.config.loader import Config
    from cronq.execution.pool import StartedPool
    from cronq.execution.results import Summary
    from cronq.model.job import Claimed
    from cronq.store import Store
    from cronq.tasks.registry import Registry

_PRESENT_AFTER = 1.0
"""Seconds that a job runs before its worker is put on the roster: a short one need not pay for that."""

_HEED = 1.0
_NEVER = float("inf")


class OneJob(Engine):
    """Has one job, which a child is running already; ends with it.

    It rescues and promotes nothing: whoever asked for one job need not wait for others.
    """

    promotes = False

    def __init__(self, store: Store, registry: Registry, config: Config, *, started: StartedPool) -> None:
        super().__init__(store, registry, config, part=RunnerInfo("serve-inetd", children=1, started=started))
        self.claimed = 1
        self._since = started.since
        self._present = False
        self._enter_at = _NEVER

    def see_through(self) -> Summary:
        """Wait for the job's end, keeping its lease and its limits; then settle it."""
        with self.at_work() as signals:
            while True:
                self.hand_over()
                if self._pool.in_hand:
                    self._pool.wait(TICK, (signals,))
                elif not self._ended:
                    break
                self.follow_up()
        return self.summary

    def begin(self) -> None:
        """Heed signals from now on; what run does at its start is not for one job to wait for."""
        now = time.monotonic()
        self._fence.renewed(self._since)
        self._times.maintain = _NEVER
        self._times.renew = now + self._config.lease / 3
        self._times.heed = now + _HEED
        self._enter_at = now + _PRESENT_AFTER
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))

    def leave(self) -> None:
        """Off the roster, if the job took so long that its worker was put there."""
        if self._present:
            super().leave()

    def follow_up(self) -> None:
        """As for every engine, and onto the roster when the job takes its time."""
        super().follow_up()
        if not self._present and self._pool.in_hand and time.monotonic() >= self._enter_at:
            self._present = True
            self._enter()

    def claim_more(self, count: int) -> list[Claimed]:
        """None: this one job was all."""
        del count
        return []
