"""Waking workers for jobs that are ready: those of this host, and through the transports of the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.transports.doorbell import LocalWorkers
from cronq.transports.notifier import AT_ONCE, Notifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.config.loader import Config
    from cronq.transports.notifier import CircuitBreakers


class Announcer:
    """What a store announces ready jobs through. For one thread; never raises, never takes more than a moment."""

    def __init__(
        self, config: Config, *, of: str | None = None, breakers: CircuitBreakers | None = None, transports: bool = True
    ) -> None:
        """`of` is the worker that announces, which isn't woken itself."""
        self._neighbours = LocalWorkers(config, of=of)
        self._bell = Notifier(config, breakers) if transports and config.wake else None
        self.named = AT_ONCE if self._bell is not None else 0
        """Of so many jobs at once the transports want to know queue and id."""

    def announce(self, jobs: Sequence[tuple[str, int]] = ()) -> None:
        """Wake workers; transports are told of these jobs (queue and id)."""
        self._neighbours.ring()
        if jobs and self._bell is not None:
            self._bell.ring(jobs)

    def close(self) -> None:
        """Close all connections; the next announcement opens them again."""
        self._neighbours.close()
        if self._bell is not None:
            self._bell.close()
