"""Wake workers when jobs are ready: those of this host by their sockets, others through the configured transports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.transports.doorbell import LocalWorkers
from cronq.transports.notifier import AT_ONCE, Notifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.config.loader import Config
    from cronq.transports.notifier import CircuitBreakers


class Announcer:
    """Wakes workers on behalf of a store. For use by one thread; never raises, and takes at most LIMIT seconds."""

    def __init__(
        self, config: Config, *, of: str | None = None, breakers: CircuitBreakers | None = None, transports: bool = True
    ) -> None:
        """`of` is the worker that announces; it isn't woken itself."""
        self._local_workers = LocalWorkers(config, of=of)
        self._notifier = Notifier(config, breakers) if transports and config.wake else None
        self.named = AT_ONCE if self._notifier is not None else 0
        """The most jobs of one announcement of which the transports receive queue and id."""

    def announce(self, jobs: Sequence[tuple[str, int]] = ()) -> None:
        """Wake this host's workers, and notify the transports of these jobs (queue and id)."""
        self._local_workers.wake()
        if jobs and self._notifier is not None:
            self._notifier.notify(jobs)

    def close(self) -> None:
        """Close all connections; the next announcement opens them again."""
        self._local_workers.close()
        if self._notifier is not None:
            self._notifier.close()
