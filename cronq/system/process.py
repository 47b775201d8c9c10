"""Processes as the kernel knows them: names of signals, and dying with a parent."""

from __future__ import annotations

import signal
import sys


def signal_name(number: int) -> str:
    """SIGKILL for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def die_with_parent() -> None:
    """Ask the kernel (Linux) to kill this process when the one that forked it dies."""
    if sys.platform.startswith("linux"):
        import _ctypes  # ctypes itself takes four times as long to import, in each child anew

        libc = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
        _ctypes.call_function(_ctypes.dlsym(libc, "prctl"), (1, int(signal.SIGKILL)))
