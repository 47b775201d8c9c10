"""A command that runs beside a test: what tests do with it, and such a one that is a fork (see tests/warm.py)."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, NamedTuple, Protocol, Self

_PIECE = 1 << 16


class Process(Protocol):
    """A process that was started, with the names that subprocess has."""

    stdin: IO[str] | None
    stdout: IO[str] | None
    stderr: IO[str] | None

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | Any: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[str, str]: ...

    def send_signal(self, sig: int) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


class Streams(NamedTuple):
    """The test's ends of the pipes that are the streams of a command; None where it has another stream."""

    stdin: IO[str] | None = None
    stdout: IO[str] | None = None
    stderr: IO[str] | None = None


class Started:
    """A fork of another process, which tells its id and, when it has ended, its wait status on the socket."""

    def __init__(self, asked: socket.socket, streams: Streams) -> None:
        self._asked = asked
        self._read: tuple[list[bytes], list[bytes]] = ([], [])
        self.pid = int(asked.recv(64))
        self.returncode: int | None = None
        self.stdin, self.stdout, self.stderr = streams

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self._write(None)
        self.wait()

    def poll(self) -> int | None:
        """The status, if it has ended."""
        return self._status_within(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; returns the status."""
        status = self._status_within(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("cronq", timeout or 0)
        return status

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[str, str]:
        """Write the input, read all that it prints, and wait for its end."""
        deadline = None if timeout is None else time.monotonic() + timeout
        self._write(input)
        try:
            self._read_all(deadline)
            self.wait(_until(deadline))
        except subprocess.TimeoutExpired:
            output, errors = map(b"".join, self._read)
            raise subprocess.TimeoutExpired("cronq", timeout or 0, output, errors) from None
        printed, complaints = (b"".join(pieces).decode() for pieces in self._read)
        return printed, complaints

    def send_signal(self, sig: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sig)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def _write(self, text: str | None) -> None:
        if self.stdin is not None and not self.stdin.closed:
            with suppress(BrokenPipeError):
                self.stdin.write(text or "")
            with suppress(BrokenPipeError):
                self.stdin.close()

    def _read_all(self, deadline: float | None) -> None:
        poll = select.poll()
        unread: dict[int, tuple[IO[str], list[bytes]]] = {}
        for stream, pieces in zip((self.stdout, self.stderr), self._read, strict=True):
            if stream is not None and not stream.closed:
                unread[stream.fileno()] = (stream, pieces)
                poll.register(stream, select.POLLIN)
        while unread:
            ready = poll.poll(_milliseconds(_until(deadline)))
            if not ready:
                raise subprocess.TimeoutExpired("cronq", 0)
            for number, _ in ready:
                stream, pieces = unread[number]
                if piece := os.read(number, _PIECE):
                    pieces.append(piece)
                else:
                    poll.unregister(number)
                    unread.pop(number)
                    stream.close()

    def _status_within(self, seconds: float | None) -> int | None:
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._asked, select.POLLIN)
            if poll.poll(_milliseconds(seconds)):
                self.returncode = os.waitstatus_to_exitcode(int(self._asked.recv(64)))
                self._asked.close()
        return self.returncode


def _until(deadline: float | None) -> float | None:
    """The seconds that are left."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
