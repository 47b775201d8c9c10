"""Define a command that runs beside a test: its interface for tests, and one that is a fork (see tests/warm.py)."""

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
    """A started process, with the interface of subprocess.Popen."""

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
    """The test's ends of the pipes of a command's streams; None for a stream that is no pipe."""

    stdin: IO[str] | None = None
    stdout: IO[str] | None = None
    stderr: IO[str] | None = None


class Started:
    """A fork of another process, which sends its pid and, after its end, its wait status on the socket."""

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
        """Return the exit status, or None while it runs."""
        return self._status_within(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return the exit status."""
        status = self._status_within(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("cronq", timeout or 0)
        return status

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[str, str]:
        """Write the input, read all its output, and wait for its end."""
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
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL."""
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
    """Return the seconds until the deadline, or None without one."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
