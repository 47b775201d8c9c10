"""Supervise one job that was started for a connection before the engine was imported."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cronq.execution.engine import Engine
from cronq.execution.job_source import NoJobs
from cronq.execution.presence import Presence

if TYPE_CHECKING:
    from cronq.config.loader import Config
    from cronq.execution.pool import Pool
    from cronq.execution.results import Summary
    from cronq.locks import Liveness
    from cronq.store import Store
    from cronq.tasks.registry import Registry

_REGISTER_AFTER = 1.0
"""Seconds that a job runs before its worker is registered, to save short jobs that statement."""


class OneJob:
    """Renews the lease and enforces the limits of one job that a child runs already; ends with it.

    It rescues and promotes no jobs: the client waits for its own only.
    """

    def __init__(self, store: Store, registry: Registry, config: Config, *, alive: Liveness, pool: Pool) -> None:
        self._presence = Presence(store, config, kind="serve-inetd", alive=alive)
        self._pool = pool
        self._engine = Engine(store, registry, config, presence=self._presence, pool=pool)

    def supervise(self, since: float) -> Summary:
        """Wait for the end of the job, which was claimed at this monotonic time; then settle it."""
        register_at = time.monotonic() + _REGISTER_AFTER
        source = NoJobs()
        with self._engine.running(since=since):
            while self._engine.step(source, self):
                if not self._presence.registered and self._pool.assigned and time.monotonic() >= register_at:
                    self._presence.register()
        return self._engine.summary

    # Called by the engine

    def is_over(self) -> bool:
        """Return True: it ends when its job has ended."""
        return True

    def pause(self) -> float:
        """Return 0: it doesn't sleep without its job."""
        return 0.0

    def watched(self) -> tuple[int, ...]:
        """Return no descriptors: only its child and signals wake it."""
        return ()
