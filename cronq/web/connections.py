"""Bound the time and the number of connections, and let addresses take turns, so that no client keeps others out."""

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
"""Connections at once: with the longest bodies in all of them, 128 MB."""

REQUEST_SECONDS = 15.0
"""Time for a whole request, from the connection or the last answer on."""

ANSWER_SECONDS = 60.0
"""Time for reading an answer."""

_AT_ONCE = 50
"""Connections accepted in a round: few beside those that are kept, so that each is read before it is the slowest."""


def bound(server: Any) -> None:
    """Have a server of waitress close slow connections, and the slowest of too many, and answer addresses in turn."""
    server.task_dispatcher.queue = FairQueue()
    server.task_dispatcher.queue_logger.setLevel(logging.ERROR)  # it warns of each request that waits for a thread
    server.handle_accept = lambda: _accept_some(server)
    server.maintenance = lambda _now: _close_late(server.active_channels.values())


def most_connections() -> int:
    """How many connections are kept at once: half of the descriptors may be theirs."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if descriptors == resource.RLIM_INFINITY else min(MOST, descriptors // 2)


class FairQueue:
    """Connections with a request that waits for a thread: their addresses take turns.

    A connection returns to the queue after each answer, so the requests of one address, however many it has sent,
    keep another one from no more than those that are being answered. The dispatcher calls it under its lock.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Connection]] = {}

    def append(self, connection: Connection) -> None:
        """Let a connection wait for the turns of its address."""
        self._waiting.setdefault(str(connection.addr[0]), deque()).append(connection)

    def popleft(self) -> Connection:
        """Take the next connection of the address whose turn it is."""
        address = next(iter(self._waiting))
        waiting = self._waiting.pop(address)
        connection = waiting.popleft()
        if waiting:
            self._waiting[address] = waiting  # after the others
        return connection

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))


class Connection(HTTPChannel):  # type: ignore[misc]
    """A connection that knows since when its client has kept the server waiting."""

    def __init__(self, server: Any, sock: Any, addr: Any, adj: Any, map: Any = None) -> None:
        super().__init__(server, sock, addr, adj, map=map)
        self.waits_since = time.monotonic()
        if len(server.active_channels) > most_connections():
            _close_slowest(server.active_channels.values())

    def write_soon(self, data: Any) -> Any:
        """Take a part of an answer; the client's time for reading begins."""
        self.waits_since = time.monotonic()
        return super().write_soon(data)

    def handle_write(self) -> None:
        """Send more of an answer; once it is read, the time for the next request begins."""
        super().handle_write()
        if not self.total_outbufs_len:
            self.waits_since = time.monotonic()

    @property
    def is_waiting(self) -> bool:
        """Whether the client has to send or read, and not the server to answer."""
        return not self.requests and not self.will_close

    def is_late(self, now: float) -> bool:
        """Tell whether the client took longer than it may."""
        allowed = ANSWER_SECONDS if self.total_outbufs_len else REQUEST_SECONDS
        return self.is_waiting and now - self.waits_since > allowed

    def end(self) -> None:
        """Close the connection in the server's next round, also if the client reads nothing."""
        self.will_close = True
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # makes it writable, which waitress waits for before it closes


def _accept_some(server: Any) -> None:
    """Accept what is queued: waitress takes one connection a round, and a visitor would wait behind hundreds."""
    with suppress(OSError):  # the client is gone already
        for _ in range(_AT_ONCE):
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
