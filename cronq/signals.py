"""Signals for a process that mostly sleeps: they wake it through a pipe."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


class Signals:
    """SIGTERM and SIGINT ask the runner to stop; these and SIGCHLD wake it through a pipe."""

    def __init__(self, on_stop: Callable[[int, FrameType | None], None]) -> None:
        self._on_stop = on_stop
        self.fd, self._write = os.pipe()
        for fd in (self.fd, self._write):
            os.set_blocking(fd, False)

    def __enter__(self) -> Self:
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        stops = (signal.SIGTERM, signal.SIGINT)
        self._usual = {number: signal.signal(number, self._on_stop) for number in stops}
        self._usual[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._usual.items():
            signal.signal(number, handler)
        os.close(self.fd)
        os.close(self._write)
