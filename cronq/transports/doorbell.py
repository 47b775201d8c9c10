"""Wake the workers of this host: each has a datagram socket in a directory beside the locks.

Needs no configuration. Without workers there is no directory, and waking them costs one system call.
"""

from __future__ import annotations

import contextlib
import os
import time
from errno import EBADF
from typing import TYPE_CHECKING, Self

from cronq.locks import doorbell_path, make_folder, wake_folder
from cronq.system.log import log

if TYPE_CHECKING:
    from socket import socket

    from cronq.config.loader import Config

_LONGEST = 100
"""Bytes that a socket's path may have everywhere; the kernel's limit is a little above."""

FRESH = 0.1
"""Seconds for which the list of sockets is used before it is read again.

Twice as long after its start a worker checks the database once more: jobs enqueued in between may have been announced
without it.
"""


class Doorbell:
    """The socket on which one worker receives wake-ups."""

    def __init__(self, listening: socket, path: str) -> None:
        self.fd = listening.fileno()
        self._socket = listening
        self._path = path

    @classmethod
    def open(cls, config: Config, worker: str) -> Self:
        """Open the socket of a worker; if it can't be bound, log that enqueues on this host don't wake the worker."""
        listening, path = _new_socket(), doorbell_path(config, worker)
        try:
            _bind(listening, config, path)
        except OSError as error:
            log.warning("%s: %s: enqueues on this host don't wake this worker", path, error.strerror)
        return cls(listening, path)

    def drain(self) -> bool:
        """Read all wake-ups received since the last call; returns whether there were any."""
        woken = False
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(16)
                woken = True
        return woken

    def close(self) -> None:
        """Remove the socket, and the directory if it is empty."""
        self._socket.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)  # noqa: PTH108
            os.rmdir(os.path.dirname(self._path))  # noqa: PTH106, PTH120


class LocalWorkers:
    """Wakes the workers of this host, except `of`, the worker that calls it."""

    def __init__(self, config: Config, *, of: str | None = None) -> None:
        self._place = wake_folder(config)
        self._own = None if of is None else os.path.basename(doorbell_path(config, of))  # noqa: PTH119
        self._names: list[str] = []
        self._look_again = 0.0
        self._folder: _Folder | None = None
        self._socket: socket | None = None

    def wake(self) -> int:
        """Wake all of them; never raises, never waits. Returns how many could be woken."""
        now = time.monotonic()
        try:
            if now >= self._look_again:
                self._look(now + FRESH)
            return sum(map(self._wake, self._names))
        except OSError as error:  # mostly: no workers, or those of another user
            self._names = []
            if error.errno == EBADF and self._socket is not None:
                self._socket.detach()  # a task has closed it, and may use its number for another file
                self._socket = None
            return 0

    def close(self) -> None:
        """Close the socket; the next wake-up opens another one."""
        self._names = []
        self._look_again = 0.0
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    def __del__(self) -> None:
        self.close()

    def _look(self, until: float) -> None:
        # A missing directory isn't read again before `until`. Any later error, also one of a signal handler, has it
        # read again at once.
        self._names = []
        self._look_again = until
        names = os.listdir(self._place)  # noqa: PTH208 - half the time of pathlib
        self._look_again = 0.0
        if self._socket is None:
            self._socket = _new_socket()
        if self._folder is not None:
            self._folder.close()
        self._folder = _Folder(self._place)
        self._names = [name for name in names if name != self._own]
        self._look_again = until

    def _wake(self, name: str) -> bool:
        assert self._socket is not None
        assert self._folder is not None
        try:
            self._socket.sendto(b"1", self._folder.address(name))
        except BlockingIOError:
            return True  # its buffer is full of wake-ups
        except ConnectionRefusedError:
            self._remove(name)
            return False
        except FileNotFoundError:
            return False  # it has ended
        return True

    def _remove(self, name: str) -> None:
        """Remove the socket of a worker that died: names are never used again."""
        with contextlib.suppress(OSError):
            os.unlink(f"{self._place}/{name}")  # noqa: PTH108


def _bind(listening: socket, config: Config, path: str) -> None:
    place, name = os.path.split(path)
    while True:
        make_folder(config, place)
        # Another worker that ends may remove the empty directory again.
        with contextlib.suppress(FileNotFoundError), _Folder(place) as folder:
            listening.bind(folder.address(name))
            return


def _new_socket() -> socket:
    from socket import AF_UNIX, SOCK_DGRAM, SOCK_NONBLOCK, socket  # here, not above: most hosts have no workers

    return socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK)


class _Folder:
    """The directory of the sockets, opened if its path is too long for the address of a socket."""

    def __init__(self, path: str) -> None:
        self._fd = -1
        self._prefix = path
        if len(os.fsencode(path)) + 20 > _LONGEST and os.path.isdir("/proc/self/fd"):  # noqa: PTH112
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._prefix = f"/proc/self/fd/{self._fd}"

    def address(self, name: str) -> str:
        """Return the address of the socket of this name."""
        return f"{self._prefix}/{name}"

    def close(self) -> None:
        """Close the directory."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> _Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
