"""File descriptors of a child process, kept out of reach of the tasks that run in it."""

from __future__ import annotations

import fcntl
import os

_OUT_OF_THE_WAY = 100


def out_of_the_way(fd: int, *, inherited: bool = False) -> int:
    """Give a file a high number; the old one is closed. Returns the new one.

    A task that closes low numbers and opens files of its own, or a script that redirects them,
    would else have cronq write into its files. `inherited` ones stay open in programs that are started.
    """
    how = fcntl.F_DUPFD if inherited else fcntl.F_DUPFD_CLOEXEC
    try:
        moved = fcntl.fcntl(fd, how, _OUT_OF_THE_WAY)
    except OSError:  # fewer descriptors are allowed
        moved = fcntl.fcntl(fd, how, 3)
    os.close(fd)
    return moved
