"""Looks after one job that was started before there was an engine: the rest of a connection's life."""

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
"""Seconds that a job runs before its worker is registered: a short one need not pay for that."""


class OneJob:
    """Keeps the lease and the limits of one job, which a child of the pool runs already; ends with it.

    It rescues and promotes nothing: a client that asked for one job need not wait for others.
    """

    def __init__(self, store: Store, registry: Registry, config: Config, *, alive: Liveness, pool: Pool) -> None:
        self._presence = Presence(store, config, kind="serve-inetd", alive=alive)
        self._pool = pool
        self._engine = Engine(store, registry, config, presence=self._presence, pool=pool)

    def see_through(self, since: float) -> Summary:
        """Wait for the end of the job, which was claimed at this monotonic time; then settle it."""
        register_at = time.monotonic() + _REGISTER_AFTER
        source = NoJobs()
        with self._engine.running(since=since):
            while self._engine.step(source, self):
                if not self._presence.registered and self._pool.assigned and time.monotonic() >= register_at:
                    self._presence.register()
        return self._engine.summary

    # When it sleeps and ends, for the engine

    def is_over(self) -> bool:
        """Without its job it is over."""
        return True

    def pause(self) -> float:
        """Without its job it doesn't sleep."""
        return 0.0

    def watched(self) -> tuple[int, ...]:
        """Nothing wakes it but its child and signals."""
        return ()
