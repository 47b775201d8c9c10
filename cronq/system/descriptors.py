"""Move cronq's file descriptors to numbers that tasks don't close or overwrite."""

from __future__ import annotations

import fcntl
import os

_OUT_OF_THE_WAY = 100


def out_of_the_way(fd: int, *, inherited: bool = False) -> int:
    """Move a descriptor to a high number; closes the old one, returns the new one.

    Otherwise cronq would write into the files of a task that closes low numbers and opens files of
    its own, or of a script that redirects them. `inherited` ones stay open in started programs.
    """
    how = fcntl.F_DUPFD if inherited else fcntl.F_DUPFD_CLOEXEC
    try:
        moved = fcntl.fcntl(fd, how, _OUT_OF_THE_WAY)
    except OSError:  # fewer descriptors are allowed
        moved = fcntl.fcntl(fd, how, 3)
    os.close(fd)
    return moved
