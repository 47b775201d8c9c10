"""Name signals, and wait for the end of a child process or until it stands still."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress

_LOOK_AGAIN = 0.002
_STOPPING = 0.2
"""The most seconds to wait until SIGSTOP has stopped a process; one in the middle of disk I/O stops later."""


def signal_name(number: int) -> str:
    """Return the name of a signal: SIGKILL for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def has_exited(pid: int) -> bool:
    """Tell whether a child of this process has exited, without reaping it."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def wait_for(pid: int, seconds: float) -> bool:
    """Wait until a child of this process has exited, without reaping it; returns False if `seconds` pass before."""
    try:
        end = os.pidfd_open(pid)
    except (AttributeError, OSError):
        until = time.monotonic() + seconds
        while not has_exited(pid) and time.monotonic() < until:
            time.sleep(_LOOK_AGAIN)
    else:
        poll = select.poll()
        poll.register(end, select.POLLIN)
        poll.poll(max(0.0, seconds) * 1000)
        os.close(end)
    return has_exited(pid)


def kill_group(pid: int) -> None:
    """Kill the process group of a child that isn't reaped yet: no other process has its pid."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def wait_until_stopped(pid: int) -> None:
    """Wait until SIGSTOP has stopped a child of this process, or it has exited."""
    deadline = time.monotonic() + _STOPPING
    states = os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT
    while os.waitid(os.P_PID, pid, states) is None and time.monotonic() < deadline:
        time.sleep(0.001)


def is_stopped(pid: int) -> bool:
    """Tell whether a process of this host is stopped by a signal (SIGSTOP, or a debugger)."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:  # noqa: PTH123 - `run` imports no pathlib
            return file.read().rpartition(")")[2].split()[0] in "Tt"
    except (OSError, IndexError):
        return False
