"""Listening to transports in processes of their own, so that a worker needs neither threads nor a broker's library.

What a listener hears it passes on through a pipe, and to the other workers of the host where they can't hear it.
It dies with the worker, and waits by itself until a transport that is away is back.
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
from cronq.system.log import log
from cronq.system.process import die_with_parent
from cronq.transports.doorbell import LocalWorkers
from cronq.transports.transport import listens, open_transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cronq.config.loader import Config
    from cronq.transports.transport import Transport

_PATIENCE = 60.0
"""Seconds after which a transport that said nothing is asked again."""

_APART = 0.005
"""Seconds between two rings at least: of a flood of messages the worker hears that often, of a single one at once."""

_SHORTEST, _LONGEST = 0.5, 15.0
"""Seconds between two tries to reach a transport that is away; they double."""

_READY = b"+"
_MOST_DESCRIPTORS = 1 << 20


class Listeners:
    """One process for each transport of the config that can be listened to."""

    def __init__(self, config: Config, worker: str) -> None:
        self.fd, self._rope = os.pipe()
        """Readable when somebody rang."""
        for fd in (self.fd, self._rope):
            os.set_blocking(fd, False)
        neighbours = LocalWorkers(config, of=worker)
        self._all = [_Listener(name, opening, self._rope, neighbours) for name, opening in _sources(config)]

    def start(self) -> None:
        """Fork them. Raises ConfigError where a transport's library is missing or its URL means nothing."""
        for listener in self._all:
            listener.start()

    def look_after(self) -> None:
        """Start again what has died."""
        for listener in self._all:
            listener.look_after()

    def answer(self) -> bool:
        """Take in all that has come since the last call; whether anything had."""
        with contextlib.suppress(BlockingIOError):
            return bool(os.read(self.fd, 1 << 16))
        return False

    def end(self) -> None:
        """End them."""
        for listener in self._all:
            listener.end()
        os.close(self.fd)
        os.close(self._rope)


def _sources(config: Config) -> Iterator[tuple[str, Callable[[], Transport]]]:
    for url in config.wake:
        if listens(url):
            yield without_password(url).partition("?")[0], partial(open_transport, url, config)
    if config.database_url().family == "postgresql":
        yield "PostgreSQL's NOTIFY", partial(open_transport, "notify:", config)


class _Listener:
    """The process that listens to one transport."""

    def __init__(self, name: str, opening: Callable[[], Transport], rope: int, neighbours: LocalWorkers) -> None:
        self._name = name
        self._opening = opening
        self._rope = rope
        self._neighbours = neighbours
        self._pid = 0

    def start(self) -> None:
        reading, writing = os.pipe()
        worker = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            _become(worker, (writing, self._rope), lambda: self._serve(worker, writing))
        os.close(writing)
        with open(reading, "rb") as answer:  # noqa: PTH123
            said = answer.read()
        if not said.startswith(_READY):
            self.end()
            raise ConfigError(said.decode(errors="replace") or f"wake: the listener to {self._name} didn't start")

    def look_after(self) -> None:
        if os.waitpid(self._pid, os.WNOHANG)[0]:
            log.warning("the listener to %s has died and is started again", self._name)
            self.start()

    def end(self) -> None:
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0

    # In the process of its own

    def _serve(self, worker: int, answer: int) -> None:
        try:
            transport = self._opening()
        except ConfigError as error:
            os.write(answer, str(error).encode())
            return
        os.write(answer, _READY)
        os.close(answer)
        absence = _Absence(self._name)
        while os.getppid() == worker:
            try:
                rings = transport.wait(_PATIENCE)
                absence.over()
                while rings:
                    self._ring(transport)
                    rings = _more_follow(transport)
            except Unavailable as error:
                absence.noted(error)

    def _ring(self, transport: Transport) -> None:
        with contextlib.suppress(BlockingIOError):  # a full pipe is a bell that is ringing
            os.write(self._rope, b"1")
        if not transport.reaches_all:
            self._neighbours.ring()


def _more_follow(transport: Transport) -> bool:
    """Let a moment pass; whether more messages have come by then."""
    more, until = False, time.monotonic() + _APART
    while (left := until - time.monotonic()) > 0:
        more = transport.wait(left) or more
    return more


class _Absence:
    """A transport that is away: told once, tried again after pauses that grow."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pause = 0.0

    def noted(self, error: Unavailable) -> None:
        if not self._pause:
            log.warning("no wake-ups through %s for now: %s", self._name, error)
        self._pause = min(_LONGEST, self._pause * 2 or _SHORTEST)
        time.sleep(self._pause)

    def over(self) -> None:
        if self._pause:
            log.warning("wake-ups come through %s again", self._name)
        self._pause = 0.0


def _become(worker: int, kept: tuple[int, int], serve: Callable[[], None]) -> NoReturn:
    """Turn the fork into a listener, which dies with the worker and heeds none of its signals.

    It keeps none of the worker's descriptors: children take the end of a pipe for an order.
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
