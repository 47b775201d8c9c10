"""Wake workers through a beanstalkd tube of ids, with the client `greenstalk`.

The broker keeps unread ids, so the tube is kept short.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cronq.transports.broker import Broker, address_of, needs
from cronq.transports.transport import LIMIT

try:
    import greenstalk
except ImportError:
    raise needs("beanstalk", "greenstalk") from None

if TYPE_CHECKING:
    from cronq.config.loader import Config

_PORT = 11300
_MAX_READY = 16
"""The number of ids in the tube at which no more are added: a worker that these wake finds all jobs."""

_MAX_TAKEN = 100
"""The most ids that one call takes."""


class Beanstalk(Broker):
    """Wake-ups through a beanstalkd tube; each reaches the workers of one host."""

    errors = (OSError, greenstalk.Error)

    def connect(self, limit: float) -> Any:
        """Open a connection that adds to the tube."""
        return self._client(limit, use=self.address.name)

    def listen(self, limit: float) -> Any:
        """Open a connection that takes from the tube."""
        return self._client(limit, watch=self.address.name)

    def send(self, connection: Any, body: str) -> None:
        """Add the id to the tube, unless it holds enough."""
        if connection.stats_tube(self.address.name)["current-jobs-ready"] < _MAX_READY:
            connection.put(body.encode())

    def receive(self, connection: Any, timeout: float) -> bool:
        """Wait for an id, and take it and those after it, at most _MAX_TAKEN; returns whether any came."""
        seconds = max(1, round(timeout))
        connection._sock.settimeout(seconds + LIMIT)
        taken = 0
        with suppress(greenstalk.TimedOutError):
            while taken < _MAX_TAKEN:
                connection.delete(connection.reserve(timeout=0 if taken else seconds))
                taken += 1
        return taken > 0

    def _client(self, limit: float, **tubes: str) -> Any:
        opened = socket.create_connection((self.address.host, self.address.port or _PORT), timeout=limit)
        try:
            return greenstalk.Client(opened, encoding=None, **tubes)
        except self.errors:
            os.close(opened.detach())  # close() would wait for the client's file object
            raise


def open(url: str, config: Config) -> Beanstalk:
    """Make the transport for a beanstalk:// URL."""
    del config
    return Beanstalk(address_of(url))
