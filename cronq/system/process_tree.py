"""Find and kill processes by descent, by a mark in their environment, or by a lock that they hold.

Reads Linux's /proc; elsewhere nothing is found.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_KILL_LIMIT = 5.0
"""The most seconds of one call of `kill_all`: a program may start processes faster than they can be killed."""


class _Process(NamedTuple):
    parent: int
    session: int
    dead: bool


def descendants(root: int) -> set[int]:
    """Find the living processes that descend from this one."""
    processes = dict(_processes())
    found: set[int] = set()
    frontier = {root}
    while frontier:
        frontier = {pid for pid, process in processes.items() if process.parent in frontier} - found
        found |= frontier
    return {pid for pid in found if not processes[pid].dead}


def marked(mark: bytes) -> set[int]:
    """Find the living processes that were started with this line in their environment."""
    return {pid for pid in _pids() if mark in _environment(pid)}


def hidden_in(session: int) -> set[int]:
    """Find a session's living processes whose environment this user can't read: set-uid programs, other users'."""
    ours = {pid for pid, process in _processes() if process.session == session and not process.dead}
    return {pid for pid in ours if not _environment(pid)}


def holders(path: str) -> set[int]:
    """Find the processes with a descriptor that holds the exclusive lock on a file."""
    try:
        file = os.stat(path)
    except OSError:
        return set()
    return {pid for pid in _pids() if _holds(pid, file)}


def kill_all(find: Callable[[], set[int]]) -> set[int]:
    """Send SIGKILL to what `find` returns until it returns nothing new twice; returns what this user may not kill."""
    sent: set[int] = set()
    refused: set[int] = set()
    quiet, deadline = 0, time.monotonic() + _KILL_LIMIT
    while quiet < 2 and time.monotonic() < deadline:  # noqa: PLR2004 - one search may miss new orphans
        new = find() - sent - refused - {os.getpid()}
        for pid in new:
            (sent if _kill(pid) else refused).add(pid)
        quiet = 0 if new else quiet + 1
    return refused


def may_be_killed(pid: int) -> bool:
    """Tell whether this user may kill a process; True if it has ended."""
    return _kill(pid, 0)


def name_of(pid: int) -> str:
    """Return the pid and the program of a process, `4711 (sleep)`; only the pid if it has ended."""
    try:
        with open(f"/proc/{pid}/comm", errors="replace") as file:
            return f"{pid} ({file.read().strip()})"
    except OSError:
        return str(pid)


def _kill(pid: int, number: int = signal.SIGKILL) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return True


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except FileNotFoundError:
        return []


def _processes() -> Iterator[tuple[int, _Process]]:
    for pid in _pids():
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        # A process whose first thread has ended looks like a zombie, and lives while it has other threads.
        dead = fields[0] in b"ZX" and int(fields[17]) <= 1
        yield pid, _Process(int(fields[1]), int(fields[3]), dead)


def _environment(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:  # it has ended, or this user may not read it
        return []


def _holds(pid: int, file: os.stat_result) -> bool:
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    return any(_is_lock_on(file, pid, descriptor) for descriptor in descriptors)


def _is_lock_on(file: os.stat_result, pid: int, descriptor: str) -> bool:
    try:
        if not os.path.samestat(os.stat(f"/proc/{pid}/fd/{descriptor}"), file):
            return False
        with open(f"/proc/{pid}/fdinfo/{descriptor}") as info:
            return any("FLOCK" in line and "WRITE" in line for line in info)
    except OSError:  # it has been closed meanwhile, or can't be read
        return False
