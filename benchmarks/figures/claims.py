"""Measure a claim in a table that has been in use for months, beside the same claim in an empty one."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import servers
from benchmarks.contest import ROOT, environment, place_for
from benchmarks.peer import peer
from benchmarks.peers import cronq_sqlite
from benchmarks.progress import say
from benchmarks.result import Figure, Must
from benchmarks.work import Order

if TYPE_CHECKING:
    from cronq.storage.drivers.database import Database

ENGINES = ("cronq_sqlite", "cronq_mariadb", "cronq_postgresql")
BESIDE = {"finished": 1_000_000, "scheduled": 100_000, "ready": 200_000}
PATTERNS = {"finished": 1, "scheduled": 2, "ready": 3}
"""The ids of the jobs that are copied."""

CLAIMS = 200
WARM_UP = 300
"""Number of claims that are not timed: until the write-ahead log has its full size, each commit also grows a file."""

SIZES = (1, 20)
PORTION = 20_000
"""Rows copied by one statement, which has a time limit."""

NUMBERS = {
    "sqlite": "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {0}) SELECT n FROM c) AS c",
    "mysql": "(SELECT seq AS n FROM seq_1_to_{0}) AS c",
    "postgresql": "generate_series(1, {0}) AS c(n)",
}
SETTLE = {
    "sqlite": ["PRAGMA wal_checkpoint(TRUNCATE)"],
    "mysql": ["ANALYZE TABLE cronq_jobs"],
    "postgresql": ["VACUUM ANALYZE cronq_jobs", "CHECKPOINT"],
}
"""The maintenance that every table in use gets sooner or later."""


def run(*, rounds: int) -> list[Figure]:
    """Measure claims of one job and of twenty, in both tables in turn, on each engine that is installed."""
    return [figure for name in ENGINES if _is_here(name) for figure in _engine(name, rounds)]


def _is_here(name: str) -> bool:
    needed = peer(name).server
    return needed is None or servers.available(needed)


def _engine(name: str, rounds: int) -> list[Figure]:
    with place_for(name) as empty, place_for(name) as full:
        _in_a_process("prepare", name, empty)
        _in_a_process("prepare", name, full)
        _in_a_process("load", name, full)
        say(f"  claim: {peer(name).name}: 1,300,000 rows are in the table")
        taken = [(size, _claims(name, full, size), _claims(name, empty, size)) for _ in range(rounds) for size in SIZES]
    return [
        Figure(
            "claim",
            f"{peer(name).name}: claim of {size} beside 1,300,000 rows",
            "ms",
            [ours for of, ours, _ in taken if of == size],
            "an empty table",
            [reference for of, _, reference in taken if of == size],
            Must(at_most=1.3),
        )
        for size in SIZES
    ]


def _claims(name: str, place: Path, size: int) -> float:
    """Return the milliseconds of one claim of `size` jobs, the median of many."""
    return float(_in_a_process("claim", name, place, size))


def _in_a_process(what: str, name: str, place: Path, size: int = 0) -> str:
    command = [sys.executable, "-m", __name__, what, name, str(place), str(size)]
    done = subprocess.run(command, cwd=ROOT, env=environment(place), check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def prepare(queue: cronq_sqlite.Queue) -> None:
    """Make one finished, one scheduled and one ready job with cronq itself."""
    queue.open()
    queue.put(Order(1, None))
    subprocess.run(queue.workers()[0], cwd=ROOT, env=environment(queue.place), check=True)
    queue.put_later(Order(2, None), "+30d")
    queue.put(Order(3, None))


def load(queue: cronq_sqlite.Queue) -> None:
    """Copy each of the prepared jobs until the table has the numbers of BESIDE."""
    from cronq.config.loader import load as load_config
    from cronq.storage.drivers.opening import open_database

    database = open_database(load_config(file=str(queue.configure())))
    for state, count in BESIDE.items():
        [(found,)] = database.query("SELECT state FROM cronq_jobs WHERE id = ?", (PATTERNS[state],))
        assert found == state, f"the pattern for {state} jobs is {found}"
        for start in range(0, count, PORTION):
            database.execute(_copy(database), (start, PATTERNS[state]))
    for statement in SETTLE[database.family]:
        database.execute(statement)
    database.close()


def _copy(database: Database) -> str:
    from cronq.storage.schema import tables

    columns = [column.name for column in tables("cronq_").tables["cronq_jobs"].columns if column.name != "id"]
    values = ["job.available_at + n + ?" if name == "available_at" else f"job.{name}" for name in columns]
    names = ", ".join(f'"{name}"' for name in columns)
    numbers = NUMBERS[database.family].format(PORTION)
    return f"INSERT INTO cronq_jobs ({names}) SELECT {', '.join(values)} FROM cronq_jobs AS job, {numbers} WHERE id = ?"


def claim(queue: cronq_sqlite.Queue, size: int) -> float:
    """Enqueue the jobs that will be claimed, then time the claims one by one; return the median in milliseconds."""
    from statistics import median

    from cronq.model.selection import Filter
    from cronq.store import Lease

    queue.open()
    queue.put_many([Order(n, None) for n in range((WARM_UP + CLAIMS) * size)])
    store = queue.store()
    taken: list[float] = []
    for _ in range(WARM_UP + CLAIMS):
        now = store.clock.now()
        began = time.perf_counter()
        claimed = store.claim(Filter(), Lease("bench", now=now, seconds=3600), limit=size)
        taken.append(time.perf_counter() - began)
        assert len(claimed) == size, f"claimed {len(claimed)} instead of {size}"
    return median(taken[WARM_UP:]) * 1000


if __name__ == "__main__":
    _, step, who, where, of = sys.argv
    candidate = peer(who)(Path(where))
    assert isinstance(candidate, cronq_sqlite.Queue)
    if step == "prepare":
        prepare(candidate)
    elif step == "load":
        load(candidate)
    else:
        print(claim(candidate, int(of)))
