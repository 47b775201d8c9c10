"""Notify transports of jobs that were just committed, within a time limit and without raising."""

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

    from cronq.config.loader import Config
    from cronq.transports.transport import Transport

_PAUSE = 30.0
"""Seconds without a try after a failure that took _QUICK seconds or longer."""

_SHORT_PAUSE = 1.0
"""Seconds without a try after a quicker failure: trying a refused connection again costs next to nothing."""

_QUICK = 0.05

AT_ONCE = 16
"""The most jobs of one call that are notified: the workers woken by them find the others."""


class Notifier:
    """Notifies the configured transports after a COMMIT. For use by one thread; all of a process share `breakers`."""

    def __init__(self, config: Config, breakers: CircuitBreakers | None = None) -> None:
        ports = [url for url in config.wake if not listens(url)]
        others = [url for url in config.wake if listens(url)]
        breakers = CircuitBreakers() if breakers is None else breakers
        # A port starts the job itself, so one that answers is enough; a broker only wakes its own listeners.
        self._alternatives = [[_Channel(url, config, breakers[url]) for url in ports]] if ports else []
        self._alternatives += [[_Channel(url, config, breakers[url])] for url in others]

    def notify(self, jobs: Sequence[tuple[str, int]]) -> None:
        """Send a notification for each of these jobs (queue and id); all transports share LIMIT seconds."""
        until = time.monotonic() + LIMIT
        for number, channels in enumerate(self._alternatives):
            _notify_first(channels, jobs[:AT_ONCE], _share(until, len(self._alternatives) - number))

    def close(self) -> None:
        """Close all connections; the next notification opens them again."""
        for channels in self._alternatives:
            for channel in channels:
                channel.close()


def _share(until: float, parts: int) -> float:
    """Divide the time left until `until` into equal parts; returns the time at which the first one ends."""
    now = time.monotonic()
    return now + (until - now) / parts


def _notify_first(channels: Sequence[_Channel], jobs: Iterable[tuple[str, int]], until: float) -> None:
    """Send a notification for each job, by the first channel that accepts it.

    Ends early after a job that no channel accepted, and in the second half of the time left.
    """
    last = _share(until, 2)
    for queue, job_id in jobs:
        shares = ((channel, _share(until, len(channels) - number)) for number, channel in enumerate(channels))
        if not any(channel.notify(queue, job_id, share) for channel, share in shares) or time.monotonic() > last:
            return


class CircuitBreaker:
    """Stops calls to a transport for a while after a failure, so that only one caller waits for it."""

    def __init__(self) -> None:
        self._open_until = 0.0
        self._broken = False
        self._stuck: bounded.Attempt | None = None

    def allows(self) -> bool:
        """Tell whether to call the transport.

        After a failure and its pause, True for one caller; for another one when that call has ended, or after LIMIT
        seconds.
        """
        now = time.monotonic()
        if now < self._open_until or (self._stuck is not None and self._stuck.is_alive()):
            return False
        if self._broken:
            self._open_until = now + LIMIT
        return True

    def succeeded(self) -> None:
        """Record a successful call."""
        self._open_until = 0.0
        self._broken = False

    def failed(self, *, took: float, stuck: bounded.Attempt | None = None) -> bool:
        """Record a call that failed after `took` seconds; returns whether the one before had succeeded.

        `stuck` is the thread in which the call still goes on.
        """
        self._stuck = stuck
        self._open_until = time.monotonic() + (_SHORT_PAUSE if took < _QUICK else _PAUSE)
        was_well, self._broken = not self._broken, True
        return was_well


class CircuitBreakers(dict[str, CircuitBreaker]):
    """The circuit breaker of each URL."""

    def __missing__(self, url: str) -> CircuitBreaker:
        return self.setdefault(url, CircuitBreaker())


class _Channel:
    """One transport behind its circuit breaker."""

    def __init__(self, url: str, config: Config, breaker: CircuitBreaker) -> None:
        self._url = url
        self._config = config
        self._breaker = breaker
        self._keeps_time = not listens(url)
        """Whether the transport limits its own time, and needs no thread that can be abandoned."""
        self._transport: Transport | None = None

    def notify(self, queue: str, job_id: int, until: float) -> bool:
        """Send one notification; returns whether the transport accepted it before the time `until`."""
        started = time.monotonic()
        if started >= until or not self._breaker.allows():
            return False
        try:
            self._send(queue, job_id, until - started)
        except Exception as error:  # any error of a library: the job is stored already
            self._give_up(error, took=time.monotonic() - started)
            return False
        except BaseException:
            self.close()  # the next call would read the rest of this one's answer
            raise
        self._breaker.succeeded()
        return True

    def _send(self, queue: str, job_id: int, seconds: float) -> None:
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
        if self._breaker.failed(took=took, stuck=error.thread if isinstance(error, bounded.Late) else None):
            said = error if isinstance(error, CronqError) else f"{type(error).__name__}: {error}"
            log.warning("no wake-ups through %s: %s", without_password(self._url), said)
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()
