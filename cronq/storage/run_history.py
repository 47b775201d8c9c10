"""Read from lock files when the last run of this host began, and how it ended."""

from __future__ import annotations

import os

from cronq.locks import run_locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.config.loader import Config

_LONGEST = 8192


class LastRun:
    """A run as its lock file describes it; `started_at` and `ended_at` are instants, 0 if unknown or not ended."""

    def __init__(self, text: str) -> None:
        began, ended, self.queues, *error = [*text.split("\n"), "", "", ""][: max(3, text.count("\n"))]
        self.pid, self.started_at = _two_numbers(began)
        self.ended_at, self.status = _two_numbers(ended)
        self.error = " ".join(error) or None


def _two_numbers(line: str) -> tuple[int, int]:
    words = line.split()
    if len(words) != 2 or not "".join(words).isdigit():  # noqa: PLR2004
        return 0, 0
    return int(words[0]), int(words[1])


def last_runs(config: Config) -> list[LastRun]:
    """Read the last run on this database of each filter on this host, the newest first, if this user may read it."""
    found = []
    for path in run_locks(config):
        try:
            with open(path, errors="replace") as file:  # noqa: PTH123
                found.append(LastRun(file.read(_LONGEST)))
        except OSError:
            continue
    return sorted((run for run in found if run.started_at), key=lambda run: -run.started_at)


def last_run(config: Config) -> int | None:
    """Return the instant at which a run on this database last began on this host, with any filter; None without one."""
    return next((run.started_at for run in last_runs(config)), None)


def run_is_on(config: Config) -> bool:
    """Tell whether a run of this host holds its lock now; reads /proc/locks, so as not to take a lock itself."""
    try:
        with open("/proc/locks") as file:  # noqa: PTH123
            held = [line.split() for line in file]
    except OSError:
        return False
    inodes = {str(os.stat(path).st_ino) for path in run_locks(config) if os.path.exists(path)}  # noqa: PTH110, PTH116
    return any(words[1] == "FLOCK" and words[5].rpartition(":")[2] in inodes for words in held if len(words) > 5)  # noqa: PLR2004
