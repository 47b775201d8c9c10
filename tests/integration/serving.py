"""Start `cronq serve-inetd` as an inetd does: with a connection, or a listening socket, as descriptors 0, 1 and 2."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.project import Project
from tests.started import Process

SECONDS = 60
Address = tuple[str, int]

JUNK = {
    "letters": b"abc\n",
    "digits and letters": b"2abc\n",
    "a sign": b"+1\n",
    "a minus": b"-1\n",
    "blanks": b" 1 \n",
    "a tab": b"1\t\n",
    "an underscore": b"4_2\n",
    "a point": b"1.0\n",
    "hexadecimal": b"0x1\n",
    "other digits": "٤٢\n".encode(),
    "full width": "\uff11\n".encode(),
    "a zero byte": b"1\0\n",
    "nothing but the end of the line": b"\n",
    "two carriage returns": b"1\r\r\n",
    "nineteen digits": b"1" * 19 + b"\n",
    "five thousand digits": b"1" * 5000 + b"\n",
    "a request of the web": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "the hello of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "a shell's line": b"1; touch /tmp/x\n",
    "a path": b"../../etc/passwd\n",
}
"""Wrong requests, by their description."""


def ask(address: Address | str, said: bytes, *, half_close: bool = False) -> bytes:
    """Connect, send the bytes, and read to the end of the connection."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as caller:
        caller.settimeout(SECONDS)
        caller.connect(address)
        with contextlib.suppress(ConnectionError):
            caller.sendall(said)
            if half_close:
                caller.shutdown(socket.SHUT_WR)
        return answer(caller)


def answer(caller: socket.socket) -> bytes:
    """Return all that is received until the connection ends, with a reset too."""
    caller.settimeout(SECONDS)
    said = b""
    with contextlib.suppress(ConnectionError):
        while chunk := caller.recv(65_536):
            said += chunk
    return said


def reset(caller: socket.socket) -> None:
    """Reset the connection, as after a crash."""
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    caller.close()


def connected() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection: the caller's, the server's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        caller = socket.create_connection(server.getsockname(), timeout=SECONDS)
        return caller, server.accept()[0]


class Server:
    """`serve-inetd` with a socket as descriptors 0, 1 and 2, as xinetd passes it; killed when the block ends."""

    def __init__(self, project: Project, given: socket.socket, arguments: Sequence[str] = ()) -> None:
        self.process: Process = project.start_on(given.fileno(), "serve-inetd", *arguments, env={})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()

    def ended(self) -> int:
        """Wait for its end; return the exit status."""
        return self.process.wait(timeout=SECONDS)


class Listening(Server):
    """`serve-inetd` with a listening socket, which stays open here as it does in an inetd."""

    def __init__(self, project: Project, *arguments: str, door: socket.socket | None = None) -> None:
        self.door = door or socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address: Address = self.door.getsockname()
        super().__init__(project, self.door, arguments)

    def connect(self) -> socket.socket:
        """Return a new connection."""
        return socket.create_connection(self.address, timeout=SECONDS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self.door.close()
