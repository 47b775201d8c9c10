"""Put a TCP proxy in front of a server, to lose answers and connections at the moment that a test chooses."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

_CHUNK = 1 << 20


class Cut(NamedTuple):
    """Cuts the connection at the first request with these bytes."""

    at: bytes
    when: str = "answered"
    """`unsent`: the server never gets the request; `answered`: it has answered, but the answer is lost; `sent`: the
    server still works on it when the client's connection ends."""
    then: Callable[[], object] | None = None
    """A function that is called before the client's connection ends."""


class Proxy:
    """Listens on a free port, and forwards connections to the server on that port of this machine."""

    def __init__(self, server: int, *, address: str = "127.0.0.1") -> None:
        self._server = server
        self._listener = socket.create_server((address, 0))
        self._cuts: list[Cut] = []
        self._open: list[socket.socket] = []
        self.port = int(self._listener.getsockname()[1])
        self.made = 0
        """The number of cuts that were made."""
        self._requests: list[bytes] = []
        self._passable = threading.Event()
        self._passable.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.thaw()
        _end(self._listener)
        for one in self._open:
            _end(one)

    def cut(self, at: bytes, when: str = "answered", then: Callable[[], object] | None = None) -> None:
        """Cut one connection, once, at a request with these bytes."""
        self._cuts.append(Cut(at, when, then))

    def freeze(self) -> None:
        """Forward nothing, and end no connection: as if the network were cut."""
        self._passable.clear()

    def thaw(self) -> None:
        """Forward again, also what was sent meanwhile."""
        self._passable.set()

    def requests(self, what: bytes) -> int:
        """Return the number of requests with these bytes."""
        return sum(what in request for request in self._requests)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._passable.wait()
                self._lead_on(client)

    def _lead_on(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._server))
        except OSError:
            _end(client)  # the server is away: the next client may find it
            return
        self._open += [client, server]
        threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            while self._pass_on(client, server):
                continue
        _end(client)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> bool:
        readable = _wait_for_either(client, server)
        self._passable.wait()
        if server in readable:
            answer = server.recv(_CHUNK)
            client.sendall(answer)
            return bool(answer)
        request = client.recv(_CHUNK)
        self._requests.append(request)
        if self._cuts and self._cuts[0].at in request:
            self._make(self._cuts.pop(0), request, client, server)
            return False
        server.sendall(request)
        if not request:
            _end(server)
        return bool(request)

    def _make(self, cut: Cut, request: bytes, client: socket.socket, server: socket.socket) -> None:
        if cut.when != "unsent":
            server.sendall(request)
        if cut.when == "answered":
            _wait_for_answer(client, server)
        if cut.when != "sent":
            _end(server)
        if cut.then:
            cut.then()
        self.made += 1


def _wait_for_answer(client: socket.socket, server: socket.socket) -> None:
    while server not in _wait_for_either(client, server):
        server.sendall(client.recv(_CHUNK))  # the rest of a long request


def _wait_for_either(client: socket.socket, server: socket.socket) -> list[socket.socket]:
    poll = select.poll()  # takes descriptors above 1023 too, which select does not
    for one in (client, server):
        poll.register(one, select.POLLIN)
    ready = {fd for fd, _ in poll.poll()}
    return [one for one in (client, server) if one.fileno() in ready]


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
