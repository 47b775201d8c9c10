"""Beanstalkd, through greenstalk: a tube of ids. Its jobs don't expire, so the tube is kept short."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cronq.transports.broker import Broker, needs, place_of
from cronq.transports.transport import LIMIT

try:
    import greenstalk
except ImportError:
    raise needs("beanstalk", "greenstalk") from None

if TYPE_CHECKING:
    from cronq.config.loader import Config

_PORT = 11300
_LONGEST_LINE = 16
"""Ids in the tube from which on no more are put: whoever takes these looks for the others as well."""


_MOST = 100
"""Ids taken before whoever waits is told."""


class Beanstalk(Broker):
    """Wake-ups through a beanstalkd tube; each is heard by the workers of one host."""

    errors = (OSError, greenstalk.Error)

    def connect(self, limit: float) -> Any:
        """A connection that puts into the tube."""
        return self._client(limit, use=self.place.name)

    def listen(self, limit: float) -> Any:
        """A connection that takes from the tube."""
        return self._client(limit, watch=self.place.name)

    def send(self, connection: Any, body: str) -> None:
        """Put the id into the tube, unless enough lie there."""
        if connection.stats_tube(self.place.name)["current-jobs-ready"] < _LONGEST_LINE:
            connection.put(body.encode())

    def receive(self, connection: Any, timeout: float) -> bool:
        """Take what is in the tube, waiting for the first; not all of it, if there is no end of it."""
        seconds = max(1, round(timeout))
        connection._sock.settimeout(seconds + LIMIT)
        taken = 0
        with suppress(greenstalk.TimedOutError):
            while taken < _MOST:
                connection.delete(connection.reserve(timeout=0 if taken else seconds))
                taken += 1
        return taken > 0

    def _client(self, limit: float, **tubes: str) -> Any:
        opened = socket.create_connection((self.place.host, self.place.port or _PORT), timeout=limit)
        try:
            return greenstalk.Client(opened, encoding=None, **tubes)
        except self.errors:
            opened.close()
            raise


def open(url: str, config: Config) -> Beanstalk:
    """The transport for a beanstalk:// URL."""
    del config
    return Beanstalk(place_of(url))
