"""The threads that a job has left running."""

from __future__ import annotations

import threading


def described() -> str:
    """Names the threads that run beside this one."""
    names = sorted(thread.name for thread in threading.enumerate() if thread is not threading.current_thread())
    return f"thread {', '.join(names)}" if names else "a thread"
