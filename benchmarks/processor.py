"""Measure processor time, user and system together, as the kernel counts it: of processes, and of the machine."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_SERVERS = "server-processes"


class Spent(NamedTuple):
    """Seconds of the wall clock, and processor seconds of the measured processes and of their servers."""

    wall: float
    own: float
    server: float


class Stopwatch:
    """Measures from its creation; `own` returns the processor time of the measured processes so far."""

    def __init__(self, place: Path, own: Callable[[], float]) -> None:
        self._servers = servers(place)
        self._clocks = (own, self._server_time, time.perf_counter)  # the wall last: reading the others takes time
        self._before = [clock() for clock in self._clocks]

    def spent(self) -> Spent:
        """Return the times since the creation."""
        after = [clock() for clock in reversed(self._clocks)]
        wall, server, own = (late - early for late, early in zip(after, reversed(self._before), strict=True))
        return Spent(wall, own, server)

    def _server_time(self) -> float:
        return of_trees(self._servers) if self._servers else 0.0


class Machine(NamedTuple):
    """The processor time so far of everything on the machine, and of the benchmark with its servers."""

    wall: float
    everything: float
    own: float

    def others_share(self, later: Machine) -> float:
        """Return the share of all processors that other processes took until `later`, from 0 to 1."""
        others = (later.everything - self.everything) - (later.own - self.own)
        return max(0.0, others / ((later.wall - self.wall) * (os.cpu_count() or 1)))


def machine(servers: Iterable[int]) -> Machine:
    """Read the machine's times now; `servers` are the benchmark's processes that aren't below this one."""
    return Machine(time.monotonic(), _everything(), of_trees([os.getpid(), *servers]))


def attribute(place: Path, pid: int) -> None:
    """Count this server's processor time for what is measured in the directory."""
    with (place / _SERVERS).open("a") as file:
        file.write(f"{pid}\n")


def servers(place: Path) -> list[int]:
    """Return the pids of the servers that work for what is measured in the directory."""
    with contextlib.suppress(FileNotFoundError):
        return [int(line) for line in (place / _SERVERS).read_text().split()]
    return []


def of_ended_children() -> float:
    """Return the seconds of the processes that this one started and waited for, and of those that they waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def of_trees(roots: Iterable[int]) -> float:
    """Return the seconds of these processes and all below them, with those that have ended and were waited for."""
    processes = _processes()
    counted: set[int] = set()
    left = set(roots)
    while left:
        counted |= left
        left = {pid for pid, (parent, _) in processes.items() if parent in left} - counted
    return sum(processes[pid][1] for pid in counted if pid in processes)


def _processes() -> dict[int, tuple[int, float]]:
    """Return the parent and the processor seconds of each process by pid."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            found[int(path.parent.name)] = int(fields[1]), sum(map(int, fields[11:15])) / TICKS_A_SECOND
    return found


def _everything() -> float:
    """Return the seconds that the processors weren't idle, with what the host of a virtual machine gave to others."""
    user, nice, system, _idle, _waiting, *interrupts_and_stolen = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    )
    return (user + nice + system + sum(interrupts_and_stolen)) / TICKS_A_SECOND
