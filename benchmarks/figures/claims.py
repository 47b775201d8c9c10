"""A claim in a table that has been in use for months, beside the same claim in an empty one."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.contest import ROOT, environment, place_for
from benchmarks.peers import cronq_sqlite
from benchmarks.result import Figure, Must
from benchmarks.work import Order

OURS = "cronq_sqlite"
BESIDE = {"finished": 1_000_000, "scheduled": 100_000, "ready": 200_000}
CLAIMS = 200
WARM_UP = 300
"""Claims that are not timed: until the write-ahead log has its full size, each commit also grows a file."""

SIZES = (1, 20)

_COPY = """\
WITH RECURSIVE counter(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < ?)
INSERT INTO cronq_jobs ({columns}) SELECT {values} FROM cronq_jobs AS job, counter WHERE job.id = ?
"""


def run(*, rounds: int) -> list[Figure]:
    """Claims of one job and of twenty, in both tables in turn."""
    with place_for(OURS) as empty, place_for(OURS) as full:
        _prepare(empty, beside=False)
        _prepare(full, beside=True)
        taken = [(size, _claims(full, size), _claims(empty, size)) for _ in range(rounds) for size in SIZES]
    return [
        Figure(
            "claim",
            f"claim of {size} beside 1,300,000 rows",
            "ms",
            [ours for of, ours, _ in taken if of == size],
            "an empty table",
            [reference for of, _, reference in taken if of == size],
            Must(at_most=1.3),
        )
        for size in SIZES
    ]


def _prepare(place: Path, *, beside: bool) -> None:
    """Make the table, with the rows beside the claim if wanted."""
    _in_a_process("prepare", place)
    if not beside:
        return
    ids = {"finished": 1, "scheduled": 2, "ready": 3}
    connection = sqlite3.connect(place / "cronq.db", isolation_level=None)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(cronq_jobs)") if row[1] != "id"]
    values = ["job.available_at + n" if name == "available_at" else f"job.{name}" for name in columns]
    for state, count in BESIDE.items():
        [(found,)] = connection.execute("SELECT state FROM cronq_jobs WHERE id = ?", (ids[state],))
        assert found == state, f"the pattern for {state} jobs is {found}"
        copy = _COPY.format(columns=", ".join(columns), values=", ".join(values))
        connection.execute(copy, (count, ids[state]))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _claims(place: Path, size: int) -> float:
    """Milliseconds of one claim of `size` jobs, the median of many."""
    return float(_in_a_process("claim", place, size))


def _in_a_process(what: str, place: Path, size: int = 0) -> str:
    command = [sys.executable, "-m", __name__, what, str(place), str(size)]
    done = subprocess.run(command, cwd=ROOT, env=environment(place), check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def prepare(place: Path) -> None:
    """One finished, one scheduled and one ready job, made by cronq itself."""
    queue = cronq_sqlite.Queue(place)
    queue.open()
    queue.put(Order(1, None))
    subprocess.run(queue.workers()[0], cwd=ROOT, env=environment(place), check=True)
    queue.put_later(Order(2, None), "+30d")
    queue.put(Order(3, None))


def claim(place: Path, size: int) -> float:
    """Queue what will be claimed, then time the claims one by one."""
    from statistics import median

    from cronq.selection import Filter
    from cronq.store import Lease

    queue = cronq_sqlite.Queue(place)
    queue.open()
    queue.put_many([Order(n, None) for n in range((WARM_UP + CLAIMS) * size)])
    store = queue.store()
    taken: list[float] = []
    for _ in range(WARM_UP + CLAIMS):
        now = store.clock.now()
        began = time.perf_counter()
        claimed = store.claim(Filter(), Lease("bench", now + 3_600_000_000), limit=size, now=now)
        taken.append(time.perf_counter() - began)
        assert len(claimed) == size, f"claimed {len(claimed)} instead of {size}"
    return median(taken[WARM_UP:]) * 1000


if __name__ == "__main__":
    _, step, where, of = sys.argv
    if step == "prepare":
        prepare(Path(where))
    else:
        print(claim(Path(where), int(of)))
