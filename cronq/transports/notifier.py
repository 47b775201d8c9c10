"""Ringing for jobs that were just committed: never an error, never more than a moment."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cronq.config.database_url import without_password
from cronq.errors import CronqError
from cronq.system.log import log
from cronq.transports.transport import LIMIT, listens, open_transport

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cronq.config.loader import Config
    from cronq.transports.transport import Transport

_PAUSE = 30.0
"""Seconds that a transport is left alone when a failure took long."""

_SHORT_PAUSE = 1.0
"""The same for one that failed at once: a connection refused costs nothing, and the next second may be better."""

_QUICK = 0.05

AT_ONCE = 16
"""Jobs of one batch that are rung for: the workers these wake find the others."""


class Notifier:
    """Rings the transports of the config after a COMMIT. For one thread; `breakers` are shared by all of a process."""

    def __init__(self, config: Config, breakers: CircuitBreakers | None = None) -> None:
        ports = [url for url in config.wake if not listens(url)]
        others = [url for url in config.wake if listens(url)]
        breakers = CircuitBreakers() if breakers is None else breakers
        # Ports start the very job, so one of them is enough; workers behind a broker only look.
        self._bells = (
            [[_Channel(url, config, breakers[url], limit=LIMIT / len(ports)) for url in ports]] if ports else []
        )
        self._bells += [[_Channel(url, config, breakers[url])] for url in others]

    def ring(self, jobs: Sequence[tuple[str, int]]) -> None:
        """Say that these jobs (queue and id) are there."""
        for ropes in self._bells:
            _pull(ropes, jobs[:AT_ONCE])

    def close(self) -> None:
        """Close all connections; the next ring opens them again."""
        for ropes in self._bells:
            for rope in ropes:
                rope.let_go()


def _pull(ropes: Sequence[_Channel], jobs: Iterable[tuple[str, int]]) -> None:
    """Pull the first rope that holds, for each job; no longer than the limit for all of them."""
    until = time.monotonic() + LIMIT
    for queue, job_id in jobs:
        if not any(rope.pull(queue, job_id) for rope in ropes) or time.monotonic() > until:
            return


class CircuitBreaker:
    """Whether a transport is worth a try: a failure costs one caller a moment, then nobody for a while."""

    def __init__(self) -> None:
        self._rests_until = 0.0
        self._broken = False

    def lets_through(self) -> bool:
        """Whether to try; after a failure one caller does it for all others."""
        now = time.monotonic()
        if now < self._rests_until:
            return False
        if self._broken:
            self._rests_until = now + LIMIT
        return True

    def holds(self) -> None:
        """It went well."""
        self._rests_until = 0.0
        self._broken = False

    def breaks(self, *, took: float) -> bool:
        """It failed after so many seconds; returns whether it went well before."""
        self._rests_until = time.monotonic() + (_SHORT_PAUSE if took < _QUICK else _PAUSE)
        held, self._broken = not self._broken, True
        return held


class CircuitBreakers(dict[str, CircuitBreaker]):
    """One for each URL."""

    def __missing__(self, url: str) -> CircuitBreaker:
        return self.setdefault(url, CircuitBreaker())


class _Channel:
    """One transport behind its circuit breaker."""

    def __init__(self, url: str, config: Config, breaker: CircuitBreaker, *, limit: float | None = None) -> None:
        self._url = url
        self._config = config
        self._breaker = breaker
        self._limit = limit
        self._transport: Transport | None = None

    def pull(self, queue: str, job_id: int) -> bool:
        """Whether the transport took it."""
        if not self._breaker.lets_through():
            return False
        started = time.monotonic()
        try:
            self._opened().notify(queue, job_id)
        except Exception as error:  # whatever a library comes up with: the job is stored, and that is what counts
            self._give_up(error, took=time.monotonic() - started)
            return False
        except BaseException:
            self.let_go()  # in the middle of an answer, that the next one would take for its own
            raise
        self._breaker.holds()
        return True

    def _opened(self) -> Transport:
        if self._transport is None:
            self._transport = open_transport(self._url, self._config)
            if self._limit is not None:
                self._transport.limit = self._limit  # type: ignore[attr-defined]
        return self._transport

    def _give_up(self, error: Exception, *, took: float) -> None:
        if self._breaker.breaks(took=took):
            said = error if isinstance(error, CronqError) else f"{type(error).__name__}: {error}"
            log.warning("no wake-ups through %s: %s", without_password(self._url), said)
        self.let_go()

    def let_go(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()
