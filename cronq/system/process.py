"""Name signals, and wait for a process's end."""

from __future__ import annotations

import os
import select
import signal
import time

_LOOK_AGAIN = 0.002


def signal_name(number: int) -> str:
    """Return the name of a signal: SIGKILL for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def wait_for(pid: int, seconds: float) -> bool:
    """Wait until a child of this process has exited, without reaping it; returns False if `seconds` pass before."""
    exited = os.WEXITED | os.WNOHANG | os.WNOWAIT
    try:
        end = os.pidfd_open(pid)
    except (AttributeError, OSError):
        until = time.monotonic() + seconds
        while os.waitid(os.P_PID, pid, exited) is None and time.monotonic() < until:
            time.sleep(_LOOK_AGAIN)
    else:
        poll = select.poll()
        poll.register(end, select.POLLIN)
        poll.poll(max(0.0, seconds) * 1000)
        os.close(end)
    return os.waitid(os.P_PID, pid, exited) is not None


def is_stopped(pid: int) -> bool:
    """Tell whether a process of this host is stopped by a signal (SIGSTOP, or a debugger)."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:  # noqa: PTH123 - `run` imports no pathlib
            return file.read().rpartition(")")[2].split()[0] in "Tt"
    except (OSError, IndexError):
        return False
