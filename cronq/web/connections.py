"""Limit the time and the number of connections, and serve addresses in turn, so that no client keeps others out."""

from __future__ import annotations

import logging
import resource
import socket
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from waitress.channel import HTTPChannel

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST = 500
"""The most connections at once; with the longest bodies in all of them, they take 128 MB."""

REQUEST_SECONDS = 15.0
"""Seconds for sending a whole request, from the connection or the last answer on."""

ANSWER_SECONDS = 60.0
"""Seconds for reading an answer, from its last part on."""

_PER_ROUND = 50
"""Connections accepted in one round of the server.

Few compared with MOST, so that a new one is read before it could be closed as the slowest.
"""


def bound(server: Any) -> None:
    """Make a server of waitress close slow connections, close the slowest of too many, and serve addresses in turn."""
    server.task_dispatcher.queue = FairQueue()
    server.task_dispatcher.queue_logger.setLevel(logging.ERROR)  # it warns of each request that waits for a thread
    server.handle_accept = lambda: _accept_some(server)
    server.maintenance = lambda _now: _close_late(server.active_channels.values())


def most_connections() -> int:
    """Return the most connections that are kept at once: MOST, or half of the descriptors if these are fewer."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if descriptors == resource.RLIM_INFINITY else min(MOST, descriptors // 2)


class FairQueue:
    """Queues connections whose requests wait for a thread, and serves their addresses in turn.

    A connection returns to the queue after each answer. So another address waits for no more requests of one address
    than those being answered and the next, however many it has sent. The dispatcher calls the queue under its lock.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Connection]] = {}

    def append(self, connection: Connection) -> None:
        """Add a connection behind the others of its address."""
        self._waiting.setdefault(str(connection.addr[0]), deque()).append(connection)

    def popleft(self) -> Connection:
        """Remove and return the first connection of the next address in turn."""
        address = next(iter(self._waiting))
        waiting = self._waiting.pop(address)
        connection = waiting.popleft()
        if waiting:
            self._waiting[address] = waiting  # behind the other addresses
        return connection

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))


class Connection(HTTPChannel):  # type: ignore[misc]
    """A connection, and since when the server has been waiting for its client."""

    def __init__(self, server: Any, sock: Any, addr: Any, adj: Any, map: Any = None) -> None:
        super().__init__(server, sock, addr, adj, map=map)
        self.waits_since = time.monotonic()
        if len(server.active_channels) > most_connections():
            _close_slowest(server.active_channels.values())

    def write_soon(self, data: Any) -> Any:
        """Queue a part of an answer; the client's time for reading begins anew."""
        self.waits_since = time.monotonic()
        return super().write_soon(data)

    def handle_write(self) -> None:
        """Send more of an answer; once all of it is sent, the time for the next request begins."""
        super().handle_write()
        if not self.total_outbufs_len:
            self.waits_since = time.monotonic()

    @property
    def is_waiting(self) -> bool:
        """Whether the server waits for the client to send or to read."""
        return not self.requests and not self.will_close

    def is_late(self, now: float) -> bool:
        """Tell whether the client has taken longer than allowed, at a time of `time.monotonic`."""
        allowed = ANSWER_SECONDS if self.total_outbufs_len else REQUEST_SECONDS
        return self.is_waiting and now - self.waits_since > allowed

    def end(self) -> None:
        """Close the connection in the server's next round, even if the client reads nothing."""
        self.will_close = True
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # makes it writable, which waitress waits for before it closes


def _accept_some(server: Any) -> None:
    """Accept up to 50 connections; waitress accepts one a round, so that a client would wait behind hundreds."""
    with suppress(OSError):  # the client is gone already
        for _ in range(_PER_ROUND):
            accepted = server.accept()
            if accepted is None:
                return
            client, address = accepted
            server.set_socket_options(client)
            Connection(server, client, server.fix_addr(address), server.adj, map=server._map)


def _close_late(connections: Iterable[Connection]) -> None:
    now = time.monotonic()
    for connection in list(connections):
        if connection.is_late(now):
            connection.end()


def _close_slowest(connections: Iterable[Connection]) -> None:
    waiting = [one for one in connections if one.is_waiting]
    if waiting:
        min(waiting, key=lambda one: one.waits_since).end()
