"""Measure the commands that people and monitors run, on a queue with a million jobs."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

from benchmarks.contest import place_for, produce
from benchmarks.figures.starts import OURS, cronq, starts
from benchmarks.result import Figure, Must

if TYPE_CHECKING:
    from pathlib import Path

STATES = {"finished": 850_000, "ready": 80_000, "scheduled": 30_000, "failed": 20_000, "retrying": 20_000}
QUEUES = 8
QUIET = ("-w", "failed=", "-w", "oldest-due=", "-c", "oldest-due=")
"""Options with which `health` ends with status 0: another one would count as a failed start."""

COMMANDS = {
    "ls": ("ls",),
    "ls --state failed": ("ls", "--state", "failed"),
    "status": ("status",),
    "health": ("health", *QUIET),
    "metrics": ("metrics",),
}
ROWS = """\
WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?)
INSERT INTO cronq_jobs (queue, priority, state, available_at, created_at, task, args, max_attempts, attempt,
    started_at, finished_at, worker, outcome, host, pid)
SELECT 'q' || (n % ?), 50, ?, ? - n * 1000, ? - n * 1000, 'mail.send', '{"to": "ann@example.org"}', 20, 1,
    ? - n * 1000, CASE WHEN ? THEN ? - n * 1000 + 5000 END, 'host-1-abc', 'success', 'host', 1 FROM n
"""


def run(*, rounds: int) -> list[Figure]:
    """Measure whole processes on a table of a million rows in SQLite."""
    with place_for(OURS) as place:
        produce("one_a_call", OURS, place, 1)
        fill(place / "cronq.db")
        taken = starts([cronq(place, *words) for words in COMMANDS.values()], rounds=rounds * 3)
    return [
        Figure(
            "million", f"{name}, a million jobs", "ms", [one.milliseconds for one in each], "", (), Must(at_most=500)
        )
        for name, each in zip(COMMANDS, taken, strict=True)
    ]


def fill(path: Path) -> None:
    """Insert the rows, with times as after many days of work."""
    now = time.time_ns() // 1000
    with closing(sqlite3.connect(path)) as connection, connection:
        for state, number in STATES.items():
            ended = state in ("finished", "failed")
            connection.execute(ROWS, (number, QUEUES, state, now, now, now, ended, now))
