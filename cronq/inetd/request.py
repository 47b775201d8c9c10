"""Read the request of a client, a line with a job's id, and send the answer, another line.

The request is at most 32 bytes, decimal digits ended by LF, CRLF or the end of input, and must arrive
within 5 seconds. The answer begins with OK or ERR; nothing else is ever sent to a client.
"""

from __future__ import annotations

import _socket
import os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LONGEST: Final = 32
"""Bytes of a request line."""

PATIENCE: Final = 5.0
"""The most seconds until a whole request line has arrived."""

MALFORMED: Final = "ERR malformed"
TIMEOUT: Final = "ERR timeout"
UNAVAILABLE: Final = "ERR unavailable"

_MOST_DIGITS = 18
_LINGER = 0.2
_MOST_DRAINED = 65_536
_CHUNK = 4096


def job_id(line: bytes) -> int | None:
    """Return the id in a request; None unless it consists of at most 18 ASCII digits."""
    digits = line[:LONGEST].partition(b"\n")[0].removesuffix(b"\r")
    return int(digits) if digits.isdigit() and len(digits) <= _MOST_DIGITS else None


class Client:
    """A client that requests a job: a connection, or a pipe with a descriptor for the answer.

    `patience` None, for a terminal, sets no time limit.
    """

    def __init__(self, source: int, sink: int | None = None, *, patience: float | None = PATIENCE) -> None:
        self.fd = source
        self.came = time.monotonic()
        self.deadline = None if patience is None else self.came + patience
        self.line = b""
        self.complete = False
        self.answered = False
        self._ended = False
        self._sink = source if sink is None else sink
        self._is_socket = sink is None
        self._drained = 0
        self.name = _peer(source) if self._is_socket else "stdin"
        if self._is_socket:
            os.set_blocking(source, False)

    @property
    def asks_nothing(self) -> bool:
        """Whether the client disconnected without sending a byte (a port probe)."""
        return self._ended and not self.line

    @property
    def gone(self) -> bool:
        """Whether nothing more has to be read from the client."""
        return self._ended or self._drained >= _MOST_DRAINED

    def read(self) -> None:
        """Read what has arrived of the request line."""
        chunk = self._received(LONGEST - len(self.line))
        if chunk is None:
            return
        self._ended = not chunk
        self.line += chunk
        self.complete = self._ended or b"\n" in chunk or len(self.line) >= LONGEST

    def wait(self) -> None:
        """Read until the request line is complete, or its time is over."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while not self.complete:
            left = None if self.deadline is None else self.deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            if poll.poll(None if left is None else left * 1000):
                self.read()

    def answer(self, text: str) -> None:
        """Send one line, and shut down the sending side."""
        self.answered = True
        self.deadline = time.monotonic() + _LINGER
        try:
            os.write(self._sink, f"{text}\n".encode("ascii"))
            if self._is_socket:
                self._shut()
        except OSError:
            self._ended = True  # the client has disconnected

    def ignore(self) -> None:
        """Mark an empty connection (a port probe) as answered, so that it is closed without an answer."""
        self.answered = True

    def drain(self) -> bool:
        """Read the rest of the input; returns True at its end.

        Closing with unread input would reset the connection before the client reads the answer.
        """
        while self._is_socket and not self.gone:
            chunk = self._received(_CHUNK)
            if chunk is None:
                return False
            self._drained += len(chunk)
            self._ended = not chunk
        return True

    def linger(self) -> None:
        """Wait a moment until the client has read the answer, then close."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while not self.drain() and self.deadline is not None:
            left = self.deadline - time.monotonic()
            if left <= 0:
                break
            poll.poll(left * 1000)
        self.close()

    def close(self) -> None:
        """Close the connection; a pipe or terminal stays open."""
        if self._is_socket:
            os.close(self.fd)

    def _received(self, count: int) -> bytes | None:
        """Read what has arrived; empty at the end, None if nothing has yet."""
        try:
            return os.read(self.fd, count)
        except BlockingIOError:
            return None
        except OSError:
            self.line = b""  # the connection was reset: the request is void
            return b""

    def _shut(self) -> None:
        borrowed = _socket.socket(fileno=self.fd)
        try:
            borrowed.shutdown(_socket.SHUT_WR)
        finally:
            borrowed.detach()


def _peer(fd: int) -> str:
    borrowed = _socket.socket(fileno=fd)
    try:
        address = borrowed.getpeername()
    except OSError:
        return "an unknown client"
    finally:
        borrowed.detach()
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else "a local socket"
