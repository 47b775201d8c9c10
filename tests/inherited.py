"""What the test run takes over from what started it, put back to what a person's shell gives.

A shell that starts a command in the background has it ignore SIGINT and SIGQUIT, nohup SIGHUP, and a
daemon may block signals; cron and CI give no standard input. All of that passes to every process that a test
starts, where a signal then does nothing.
"""

from __future__ import annotations

import os
import signal

_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
"""What every Python ignores by itself; subprocess puts it back for what it starts."""


def reset() -> None:
    """Let signals reach what the tests start, and give them the standard streams."""
    _open_standard_streams()
    for number in signal.valid_signals():
        if number not in _BY_PYTHON and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _ignored)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _ignored(_number: int, _frame: object) -> None:
    """Go on as the starter wanted; unlike SIG_IGN, a handler doesn't pass to what is started."""


def _open_standard_streams() -> None:
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)
