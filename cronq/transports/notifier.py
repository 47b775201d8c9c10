"""Ringing for jobs that were just committed: never an error, never more than a moment."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cronq.config.database_url import without_password
from cronq.errors import CronqError
from cronq.system.log import log
from cronq.transports import bounded
from cronq.transports.transport import LIMIT, listens, open_transport

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from threading import Thread

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
        self._bells = [[_Channel(url, config, breakers[url]) for url in ports]] if ports else []
        self._bells += [[_Channel(url, config, breakers[url])] for url in others]

    def ring(self, jobs: Sequence[tuple[str, int]]) -> None:
        """Say that these jobs (queue and id) are there; all transports have LIMIT together."""
        until = time.monotonic() + LIMIT
        for number, ropes in enumerate(self._bells):
            _pull(ropes, jobs[:AT_ONCE], _share(until, len(self._bells) - number))

    def close(self) -> None:
        """Close all connections; the next ring opens them again."""
        for ropes in self._bells:
            for rope in ropes:
                rope.let_go()


def _share(until: float, parts: int) -> float:
    """The end of the first of so many equal parts of the time that is left."""
    now = time.monotonic()
    return now + (until - now) / parts


def _pull(ropes: Sequence[_Channel], jobs: Iterable[tuple[str, int]], until: float) -> None:
    """Pull the first rope that holds, for each job, until then; a slow transport isn't asked again near the end."""
    last = _share(until, 2)
    for queue, job_id in jobs:
        shares = ((rope, _share(until, len(ropes) - number)) for number, rope in enumerate(ropes))
        if not any(rope.pull(queue, job_id, share) for rope, share in shares) or time.monotonic() > last:
            return


class CircuitBreaker:
    """Whether a transport is worth a try: a failure costs one caller a moment, then no caller for a while."""

    def __init__(self) -> None:
        self._rests_until = 0.0
        self._broken = False
        self._stuck: Thread | None = None

    def lets_through(self) -> bool:
        """Whether to try; after a failure one caller does it for all others."""
        now = time.monotonic()
        if now < self._rests_until or (self._stuck is not None and self._stuck.is_alive()):
            return False
        if self._broken:
            self._rests_until = now + LIMIT
        return True

    def holds(self) -> None:
        """It went well."""
        self._rests_until = 0.0
        self._broken = False

    def breaks(self, *, took: float, stuck: Thread | None = None) -> bool:
        """It failed after so many seconds, and a thread may still be at it; returns whether it went well before."""
        self._stuck = stuck
        self._rests_until = time.monotonic() + (_SHORT_PAUSE if took < _QUICK else _PAUSE)
        held, self._broken = not self._broken, True
        return held


class CircuitBreakers(dict[str, CircuitBreaker]):
    """One for each URL."""

    def __missing__(self, url: str) -> CircuitBreaker:
        return self.setdefault(url, CircuitBreaker())


class _Channel:
    """One transport behind its circuit breaker."""

    def __init__(self, url: str, config: Config, breaker: CircuitBreaker) -> None:
        self._url = url
        self._config = config
        self._breaker = breaker
        self._keeps_time = not listens(url)
        """Whether the transport has a limit for all that it does, and needs no thread that can be left behind."""
        self._transport: Transport | None = None

    def pull(self, queue: str, job_id: int, until: float) -> bool:
        """Whether the transport took it before then."""
        started = time.monotonic()
        if started >= until or not self._breaker.lets_through():
            return False
        try:
            self._notify(queue, job_id, until - started)
        except Exception as error:  # any error of a library: the job is stored, and that is what counts
            self._give_up(error, took=time.monotonic() - started)
            return False
        except BaseException:
            self.let_go()  # in the middle of an answer, that the next one would take for its own
            raise
        self._breaker.holds()
        return True

    def _notify(self, queue: str, job_id: int, seconds: float) -> None:
        transport, self._transport = self._transport or open_transport(self._url, self._config), None
        try:
            if self._keeps_time:
                transport.limit = seconds  # type: ignore[attr-defined]
                transport.notify(queue, job_id)
            else:
                bounded.notify(transport, queue, job_id, seconds=seconds)
        except bounded.Late:
            raise
        except Exception:
            self._transport = transport
            raise
        self._transport = transport

    def _give_up(self, error: Exception, *, took: float) -> None:
        if self._breaker.breaks(took=took, stuck=error.thread if isinstance(error, bounded.Late) else None):
            said = error if isinstance(error, CronqError) else f"{type(error).__name__}: {error}"
            log.warning("no wake-ups through %s: %s", without_password(self._url), said)
        self.let_go()

    def let_go(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()
