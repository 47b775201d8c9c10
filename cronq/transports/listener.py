"""Listen to transports in separate processes, so that a worker needs neither threads nor a broker's library.

A listener writes each wake-up to a pipe of its worker, and wakes the other workers of the host if the
transport doesn't reach them. It dies with the worker, and reconnects by itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from cronq.config.database_url import without_password
from cronq.errors import ConfigError, Unavailable
from cronq.storage.sql.dialect import DIALECTS
from cronq.system.log import log
from cronq.system.prctl import die_with_parent
from cronq.transports.doorbell import LocalWorkers
from cronq.transports.transport import listens, open_transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cronq.config.loader import Config
    from cronq.transports.transport import Transport

_WAIT = 60.0
"""Seconds that one call waits for a notification."""

_APART = 0.005
"""The least seconds between two wake-ups that are passed on; a single one is passed on at once."""

_SHORTEST, _LONGEST = 0.5, 15.0
"""The first and the longest pause, in seconds, before a transport is tried again; pauses double."""

_READY = b"+"
_MOST_DESCRIPTORS = 1 << 20


class Listeners:
    """The listener processes of one worker, one for each configured transport that can be listened to."""

    def __init__(self, config: Config, worker: str) -> None:
        self.fd, self._wakeup_pipe = os.pipe()
        """The end of a pipe that is readable when a wake-up has come."""
        for fd in (self.fd, self._wakeup_pipe):
            os.set_blocking(fd, False)
        local_workers = LocalWorkers(config, of=worker)
        self._all = [_Listener(name, opening, self._wakeup_pipe, local_workers) for name, opening in _sources(config)]

    def start(self) -> None:
        """Fork the listeners. Raises ConfigError if a transport's library is missing or its URL is wrong."""
        for listener in self._all:
            listener.start()

    def restart_dead(self) -> None:
        """Start again the listeners that have died."""
        for listener in self._all:
            listener.restart_dead()

    def drain(self) -> bool:
        """Read all wake-ups received since the last call; returns whether there were any."""
        with contextlib.suppress(BlockingIOError):
            return bool(os.read(self.fd, 1 << 16))
        return False

    def end(self) -> None:
        """Kill the listeners, and close the pipe."""
        for listener in self._all:
            listener.end()
        os.close(self.fd)
        os.close(self._wakeup_pipe)


def _sources(config: Config) -> Iterator[tuple[str, Callable[[], Transport]]]:
    for url in config.wake:
        if listens(url):
            yield without_password(url).partition("?")[0], partial(open_transport, url, config)
    if DIALECTS[config.database_url().family].notifies:
        yield "PostgreSQL's NOTIFY", partial(open_transport, "notify:", config)


class _Listener:
    """The process that listens to one transport."""

    def __init__(
        self, name: str, opening: Callable[[], Transport], wakeup_pipe: int, local_workers: LocalWorkers
    ) -> None:
        self._name = name
        self._opening = opening
        self._wakeup_pipe = wakeup_pipe
        self._local_workers = local_workers
        self._pid = 0

    def start(self) -> None:
        reading, writing = os.pipe()
        worker = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            _run_as_listener(worker, (writing, self._wakeup_pipe), lambda: self._serve(worker, writing))
        os.close(writing)
        with open(reading, "rb") as answer:  # noqa: PTH123
            said = answer.read()
        if not said.startswith(_READY):
            self.end()
            raise ConfigError(said.decode(errors="replace") or f"wake: the listener to {self._name} didn't start")

    def restart_dead(self) -> None:
        if os.waitpid(self._pid, os.WNOHANG)[0]:
            log.warning("the listener to %s has died and is started again", self._name)
            self.start()

    def end(self) -> None:
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0

    # In the listener's process

    def _serve(self, worker: int, answer: int) -> None:
        try:
            transport = self._opening()
        except ConfigError as error:
            os.write(answer, str(error).encode())
            return
        os.write(answer, _READY)
        os.close(answer)
        outage = _Outage(self._name)
        while os.getppid() == worker:
            try:
                woken = transport.wait(_WAIT)
                outage.end()
                while woken:
                    self._wake(transport)
                    woken = _more_follow(transport)
            except Unavailable as error:
                outage.pause(error)

    def _wake(self, transport: Transport) -> None:
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes the worker as well
            os.write(self._wakeup_pipe, b"1")
        if not transport.reaches_all:
            self._local_workers.wake()


def _more_follow(transport: Transport) -> bool:
    """Read messages for _APART seconds; returns whether any came."""
    more, until = False, time.monotonic() + _APART
    while (left := until - time.monotonic()) > 0:
        more = transport.wait(left) or more
    return more


class _Outage:
    """A transport that can't be reached: logged once, tried again after pauses that double."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pause = 0.0

    def pause(self, error: Unavailable) -> None:
        if not self._pause:
            log.warning("no wake-ups through %s for now: %s", self._name, error)
        self._pause = min(_LONGEST, self._pause * 2 or _SHORTEST)
        time.sleep(self._pause)

    def end(self) -> None:
        if self._pause:
            log.warning("wake-ups come through %s again", self._name)
        self._pause = 0.0


def _run_as_listener(worker: int, kept: tuple[int, int], serve: Callable[[], None]) -> NoReturn:
    """Serve in the forked process, which dies with the worker and ignores the signals meant for it.

    Closes the worker's descriptors: its children end when the last copy of a pipe's end is closed.
    """
    try:
        die_with_parent()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCONT, signal.SIG_DFL)
        first, second = sorted(kept)
        for low, high in ((3, first), (first + 1, second), (second + 1, _MOST_DESCRIPTORS)):
            os.closerange(low, high)
        if os.getppid() == worker:
            serve()
    finally:
        os._exit(0)
