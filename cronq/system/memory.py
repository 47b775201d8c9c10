"""Measure the memory that processes use."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_KIBIBYTE = 1024


def pss(children: Iterable[int]) -> int:
    """Sum the bytes that this process and these children use; shared pages count once.

    Where the kernel has no /proc/PID/smaps_rollup, returns the largest size of this process alone.
    """
    try:
        return sum(map(_share, (os.getpid(), *children)))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIBIBYTE


def _share(pid: int) -> int:
    """Read the proportional set size: a page shared by n processes counts as an n-th for each."""
    with open(f"/proc/{pid}/smaps_rollup", "rb") as file:  # noqa: PTH123
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * _KIBIBYTE
    return 0
