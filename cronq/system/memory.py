"""How much memory processes take."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_KIBIBYTE = 1024


def pss(children: Iterable[int]) -> int:
    """Bytes that this process and these children of it take together; what they share is counted once.

    Where the kernel doesn't tell shares, only this process is counted, at its largest.
    """
    try:
        return sum(map(_share, (os.getpid(), *children)))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIBIBYTE


def _share(pid: int) -> int:
    """Proportional set size: a page that n processes share counts as a n-th of it for each."""
    with open(f"/proc/{pid}/smaps_rollup", "rb") as file:  # noqa: PTH123
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * _KIBIBYTE
    return 0
