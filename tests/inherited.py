"""What the test run takes over from what started it, put back to what a person's shell gives.

A shell that starts a command in the background has it ignore SIGINT and SIGQUIT, nohup SIGHUP, and a
daemon may block signals; cron and CI give no standard input. All of that passes to every process that a test
starts, where a signal then does nothing. A container's Python is often told to keep no bytecode: pytest then
compiles all tests anew in each worker of each test run, which takes longer than all tests of `tests/unit`.
"""

from __future__ import annotations

import os
import signal
import sys

_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
"""What every Python ignores by itself; subprocess puts it back for what it starts."""


def reset() -> None:
    """Let signals reach what the tests start, give them the standard streams, and keep what is compiled."""
    _open_standard_streams()
    _keep_bytecode()
    for number in signal.valid_signals():
        if number not in _BY_PYTHON and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _ignored)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _ignored(_number: int, _frame: object) -> None:
    """Go on as the starter wanted; unlike SIG_IGN, a handler doesn't pass to what is started."""


def _keep_bytecode() -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def _open_standard_streams() -> None:
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)
