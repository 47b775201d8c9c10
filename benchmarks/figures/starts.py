"""Measure the start of the command: `cronq run` with nothing to do, and `cronq ls` of 20 rows."""

from __future__ import annotations

import ctypes
import os
import pty
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.contest import environment, place_for, produce
from benchmarks.peer import script
from benchmarks.result import Figure, Must

STARTS_A_ROUND = 10
OURS = "cronq_sqlite"
PR_SET_CHILD_SUBREAPER = 36
"""The number of this option in Linux, from sys/prctl.h."""

PASS = [sys.executable, "-c", "pass"]


class Start(NamedTuple):
    """The duration and the peak memory of one start, as a whole process."""

    milliseconds: float
    mebibytes: float


def starts(commands: list[list[str]], *, rounds: int, output: str = os.devnull) -> list[list[Start]]:
    """Measure each command `rounds` times, in turn; return the starts of each."""
    measured: list[list[Start]] = [[] for _ in commands]
    for _ in range(rounds):
        for command, taken in zip(commands, measured, strict=True):
            taken.append(Start(_milliseconds(command, output), _mebibytes(command, output)))
    return measured


def _milliseconds(command: list[str], output: str) -> float:
    began = time.perf_counter()
    pid = _spawn(command, output)
    _reap(pid, command)
    return (time.perf_counter() - began) * 1000


def processor_time(command: list[str]) -> float:
    """Return the milliseconds of the processors that a start takes, user and system."""
    used = _reap(_spawn(command, os.devnull), command)
    return (used.ru_utime + used.ru_stime) * 1000


def _mebibytes(command: list[str], output: str) -> float:
    """Return the peak memory of one start in MiB.

    The kernel never reports less for a process than its starter had, so a small shell starts it
    and ends; this process then becomes its parent.
    """
    with _adopting():
        shell = ["/bin/sh", "-c", '"$@" &', "sh", *command]
        _reap(_spawn(shell, output), shell)
        return _reap(-1, command).ru_maxrss / 1024


def _spawn(command: list[str], output: str) -> int:
    redirect = [(os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)]
    return os.posix_spawn(command[0], command, os.environ, file_actions=redirect)


def _reap(pid: int, command: list[str]) -> resource.struct_rusage:
    _, status, used = os.wait4(pid, 0)
    assert status == 0, f"{command} ended with {os.waitstatus_to_exitcode(status)}"
    return used


@contextmanager
def _adopting() -> Iterator[None]:
    """Become the parent of descendants whose own parent has ended."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    assert prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def idle(*, rounds: int) -> list[Figure]:
    """Measure `cronq run` on an empty queue beside a Python that does nothing."""
    with place_for(OURS) as place:
        produce("one_a_call", OURS, place, 1)
        run = cronq(place, "run")
        subprocess.run(run, check=True, env=environment(place))
        ours, reference = starts([run, PASS], rounds=rounds * STARTS_A_ROUND)
    name = "python3 -c pass"
    wall = [start.milliseconds for start in ours], name, [start.milliseconds for start in reference]
    memory = [start.mebibytes for start in ours], name, [start.mebibytes for start in reference]
    return [
        Figure("idle", "run with nothing to do, wall", "ms", *wall, Must(at_most=2.5)),
        Figure("idle", "run with nothing to do, peak memory", "MiB", *memory, Must(at_most=2)),
    ]


def listing(*, rounds: int) -> list[Figure]:
    """Measure `cronq ls` of 20 rows, into a file and as the table on a terminal."""
    with place_for(OURS) as place:
        produce("fill", OURS, place, 100)
        command = cronq(place, "ls", "--limit", "20")
        [plain] = starts([command], rounds=rounds * STARTS_A_ROUND)
        with _terminal() as terminal:
            [table] = starts([command], rounds=rounds * STARTS_A_ROUND, output=terminal)
    return [
        Figure("ls", f"ls of 20 rows, {where}", "ms", [start.milliseconds for start in taken], "", (), must)
        for where, taken, must in (
            ("into a file", plain, Must(at_most=350)),
            ("on a terminal", table, Must(at_most=350)),
        )
    ]


@contextmanager
def _terminal() -> Iterator[str]:
    """Yield the path of a terminal whose output is read and dropped."""
    ours, theirs = pty.openpty()
    reader = threading.Thread(target=_read, args=(ours,), daemon=True)
    reader.start()
    try:
        yield os.ttyname(theirs)
    finally:
        os.close(theirs)
        reader.join(timeout=5)
        os.close(ours)


def _read(terminal: int) -> None:
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        return


def cronq(place: Path, *arguments: str) -> list[str]:
    """Return the command line of `cronq ARGUMENTS` on the queue in this directory."""
    return [script("cronq"), "--config", str(place / "cronq.toml"), *arguments]
