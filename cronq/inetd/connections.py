"""Accept and read connections at listening sockets; a silent, slow or lost client delays no other."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import time
from typing import TYPE_CHECKING

from cronq.inetd.request import Client

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST = 256
"""The most connections that are open at once; the oldest is closed for another one."""

_PER_ROUND = 64
"""Connections that are accepted before open ones are read."""

_FULL = 0.1
"""Seconds without accepting after the system had no descriptors left."""

_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Connections:
    """Accepts connections, reads requests, and closes each connection when its answer is read."""

    def __init__(self, listening: Iterable[int]) -> None:
        self._listening = [socket.socket(fileno=fd) for fd in listening]
        for listener in self._listening:
            listener.settimeout(0)
        self._open = True
        self._full_until = 0.0
        self.clients: dict[int, Client] = {}
        os.register_at_fork(after_in_child=self._forget)

    def descriptors(self) -> list[int]:
        """List the descriptors to sleep on: listening sockets and connections."""
        return [*self._accepting(), *self.clients]

    def next_deadline(self) -> float:
        """Return the monotonic time at which the first connection's limit, or a pause in accepting, ends."""
        waiting = [client.deadline for client in self.clients.values() if client.deadline is not None]
        return min([*waiting, self._full_until or float("inf")], default=float("inf"))

    @property
    def lingering(self) -> bool:
        """Whether a client that was answered may not have read it yet."""
        return any(client.answered for client in self.clients.values())

    def receive(self) -> list[Client]:
        """Accept connections and read requests; returns the clients whose request is complete or whose time is over."""
        self._accept()
        now = time.monotonic()
        for client in self._readable():
            if client.answered:
                client.drain()
            else:
                client.read()
        self._close_answered(now)
        return [client for client in self.clients.values() if not client.answered and _is_due(client, now)]

    def shut(self) -> None:
        """Accept no more connections; close those that are not answered yet."""
        self._open = False
        for client in [client for client in self.clients.values() if not client.answered]:
            self._close(client)

    def turn_away(self, text: str) -> None:
        """Give all connections, also those not accepted yet, the same answer, and close them."""
        self._accept()
        for client in self.clients.values():
            if not client.answered:
                client.read()
                client.answer(text)
                client.drain()
        self.close()

    def close(self) -> None:
        """Close all connections and sockets; clients that connect now wait for the next process."""
        for client in list(self.clients.values()):
            self._close(client)
        self._forget()

    def _accepting(self) -> list[int]:
        if self._full_until and time.monotonic() >= self._full_until:
            self._full_until = 0.0
        return [listener.fileno() for listener in self._listening] if self._open and not self._full_until else []

    def _accept(self) -> None:
        accepting = self._accepting()
        for listener in self._listening:
            for _ in range(_PER_ROUND if listener.fileno() in accepting else 0):
                try:
                    fd = listener.accept()[0].detach()
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno in _NO_ROOM:
                        self._full_until = time.monotonic() + _FULL
                        break
                    continue  # the client has disconnected before it was accepted
                self._make_room()
                self.clients[fd] = Client(fd)

    def _make_room(self) -> None:
        if len(self.clients) >= _MOST:
            self._close(next(iter(self.clients.values())))

    def _readable(self) -> list[Client]:
        poll = select.poll()
        for fd in self.clients:
            poll.register(fd, select.POLLIN)
        return [self.clients[fd] for fd, _ in poll.poll(0)]

    def _close_answered(self, now: float) -> None:
        for client in list(self.clients.values()):
            over = client.deadline is not None and now >= client.deadline
            if client.answered and (client.gone or over):
                self._close(client)

    def _close(self, client: Client) -> None:
        del self.clients[client.fd]
        client.close()

    def _forget(self) -> None:
        """Close all descriptors without an answer; also called in a fork, whose parent keeps them."""
        for fd in self.clients:
            with contextlib.suppress(OSError):
                os.close(fd)
        self.clients = {}
        for listener in self._listening:
            with contextlib.suppress(OSError):
                listener.close()
        self._listening = []


def _is_due(client: Client, now: float) -> bool:
    return client.complete or (client.deadline is not None and now >= client.deadline)
