"""Undo settings that the test run inherits from its starter, and that its tests would pass on to processes.

A shell makes a command in the background ignore SIGINT and SIGQUIT, nohup makes it ignore SIGHUP, and a
daemon may block signals; cron and CI give no standard input. All of that passes to every process that a test
starts, where a signal then does nothing. In containers Python often has to write no bytecode: pytest then
compiles all tests anew in each worker of each test run, which takes longer than all tests of `tests/unit`.
"""

from __future__ import annotations

import os
import signal
import sys

_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
"""Signals that every Python ignores by itself; subprocess restores them for the programs that it starts."""


def reset() -> None:
    """Let signals reach the processes of tests, open the standard streams, and let Python write bytecode."""
    _open_standard_streams()
    _keep_bytecode()
    for number in signal.valid_signals():
        if number not in _BY_PYTHON and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _ignored)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _ignored(_number: int, _frame: object) -> None:
    """Do nothing, as the starter wanted; unlike SIG_IGN, a handler isn't inherited by started programs."""


def _keep_bytecode() -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def _open_standard_streams() -> None:
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)
