"""Waking the workers of this host: each has a datagram socket in a directory beside the locks.

Nothing has to be configured for it. Where no worker lives there is no directory, and ringing
costs one look for it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from errno import EBADF
from typing import TYPE_CHECKING

from cronq.locks import doorbell_path, make_folder, wake_folder
from cronq.system.log import log

if TYPE_CHECKING:
    from cronq.config.loader import Config

_LONGEST = 100
"""Bytes that a socket's path may have everywhere; the kernel's limit is a little above."""

FRESH = 0.1
"""Seconds that a look at who is there holds for: a worker looks at the database again a moment after it hung its
bell up, for those who didn't know of it yet."""


class Doorbell:
    """The socket that a worker is woken by."""

    def __init__(self, config: Config, worker: str) -> None:
        self._folder = wake_folder(config)
        self._path = doorbell_path(config, worker)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.fd = self._socket.fileno()
        try:
            self._hang(config)
        except OSError as error:
            log.warning("%s: %s: enqueues on this host don't wake this worker", self._path, error.strerror)

    def _hang(self, config: Config) -> None:
        while True:
            make_folder(config, self._folder)
            # Another worker that ends may remove the empty directory again.
            with contextlib.suppress(FileNotFoundError), _Folder(self._folder) as folder:
                self._socket.bind(folder.address(os.path.basename(self._path)))  # noqa: PTH119
                return

    def answer(self) -> bool:
        """Take in all that has come since the last call; whether anything had."""
        rang = False
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(16)
                rang = True
        return rang

    def close(self) -> None:
        """Take the socket away, and the directory after the last one."""
        self._socket.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)  # noqa: PTH108
            os.rmdir(self._folder)  # noqa: PTH106


class LocalWorkers:
    """The workers of this host, as those see them who have something to do for them; a worker's own don't see it."""

    def __init__(self, config: Config, *, of: str | None = None) -> None:
        self._place = wake_folder(config)
        self._own = None if of is None else os.path.basename(doorbell_path(config, of))  # noqa: PTH119
        self._names: list[str] = []
        self._look_again = 0.0
        self._folder: _Folder | None = None
        self._socket: socket.socket | None = None

    def ring(self) -> int:
        """Wake all of them; never raises, never waits. Returns how many there are."""
        now = time.monotonic()
        try:
            if now >= self._look_again:
                self._look(now + FRESH)
            return sum(map(self._knock, self._names))
        except OSError as error:  # mostly because nobody is there, or somebody else's
            self._names = []
            if error.errno == EBADF and self._socket is not None:
                self._socket.detach()  # a task has closed it, and the number may be another one's now
                self._socket = None
            return 0

    def close(self) -> None:
        """Close the socket; the next ring opens another one."""
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
        # Set at the end: a look that a signal handler's exception cuts short must not count.
        self._names = []
        self._look_again = until
        names = os.listdir(self._place)  # noqa: PTH208 - half the time of pathlib
        self._look_again = 0.0
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        if self._folder is not None:
            self._folder.close()
        self._folder = _Folder(self._place)
        self._names = [name for name in names if name != self._own]
        self._look_again = until

    def _knock(self, name: str) -> bool:
        assert self._socket is not None
        assert self._folder is not None
        try:
            self._socket.sendto(b"1", self._folder.address(name))
        except BlockingIOError:
            return True  # its buffer is full: it is being woken
        except ConnectionRefusedError:
            self._bury(name)
            return False
        except FileNotFoundError:
            return False  # it has ended
        return True

    def _bury(self, name: str) -> None:
        """Remove the socket of a worker that died: its name is used once, so nobody else can have it."""
        with contextlib.suppress(OSError):
            os.unlink(f"{self._place}/{name}")  # noqa: PTH108


class _Folder:
    """The directory of the sockets; its path may be longer than a socket's address."""

    def __init__(self, path: str) -> None:
        self._fd = -1
        self._prefix = path
        if len(os.fsencode(path)) + 20 > _LONGEST and os.path.isdir("/proc/self/fd"):  # noqa: PTH112
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._prefix = f"/proc/self/fd/{self._fd}"

    def address(self, name: str) -> str:
        """What a socket of this name is bound to, or sent to."""
        return f"{self._prefix}/{name}"

    def close(self) -> None:
        """The directory isn't needed any more."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> _Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
