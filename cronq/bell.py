"""Ringing for jobs that were just committed: never an error, never more than a moment."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cronq.errors import Unavailable
from cronq.events import log
from cronq.transports import open_transport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.config import Config
    from cronq.transports import Transport

_PAUSE = 30.0
"""Seconds that a transport that failed is left alone."""

_AT_ONCE = 16
"""Jobs of one batch that are rung for: the workers these wake find the others."""


class Bell:
    """Rings the transports of the config after a COMMIT."""

    def __init__(self, config: Config) -> None:
        self._ropes = [_Rope(url, config) for url in config.wake]

    def ring(self, jobs: Sequence[tuple[str, int]]) -> None:
        """Say that these jobs (queue and id) are there."""
        for rope in self._ropes:
            rope.pull(jobs[:_AT_ONCE])


class _Rope:
    """One transport behind a circuit breaker: a failure costs a moment once, then nothing for a while."""

    def __init__(self, url: str, config: Config) -> None:
        self._scheme = url.partition(":")[0]
        self._transport: Transport = open_transport(url, config)
        self._rests_until = 0.0

    def pull(self, jobs: Sequence[tuple[str, int]]) -> None:
        if time.monotonic() < self._rests_until:
            return
        try:
            for queue, job_id in jobs:
                self._transport.notify(queue, job_id)
        except Unavailable as error:
            self._rests_until = time.monotonic() + _PAUSE
            log.warning("no wake-up through %s for %.0f s: %s", self._scheme, _PAUSE, error)
            self._transport.close()
