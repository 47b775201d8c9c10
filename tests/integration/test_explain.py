"""Each hot statement uses the index it names, with many ended and future jobs beside."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq.storage.idle_check import idle_statement
from cronq.storage.migrations import upgrade
from cronq.storage.sql.writes import Queries
from tests.integration.stores import config_in

Q = Queries("cronq_")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    directory: Path = tmp_path_factory.mktemp("many")
    config = config_in(directory)
    upgrade(config)
    with contextlib.closing(sqlite3.connect(config.sqlite_path() or "")) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        with connection:
            _fill(connection)
        assert connection.execute("SELECT count(*) FROM cronq_jobs").fetchone() == (255_100,)
        yield connection


def _fill(connection: sqlite3.Connection) -> None:
    sql = (
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?) INSERT INTO cronq_jobs"
        " (queue, priority, state, available_at, task, args, max_attempts, created_at, job_group, finished_at,"
        " lease_until, worker, token) SELECT 'q' || n % 5, n % 100, ?, n, 't', '{{}}', 20, n,"
        " CASE WHEN n % 10 = 0 THEN 'g' || n % 70 END, {ended}, {lease}, 'w' || n % 4, n FROM n"
    )
    connection.execute(sql.format(ended="n", lease="NULL"), (200_000, "finished"))
    connection.execute(sql.format(ended="NULL", lease="NULL"), (50_000, "scheduled"))
    connection.execute(sql.format(ended="NULL", lease="NULL"), (5_000, "ready"))
    connection.execute(sql.format(ended="NULL", lease="n"), (100, "running"))


HOT = {
    "queues_with_ready": ((), ["cronq_jobs_ready"]),
    "front": (("q1", 0, 999, 100), ["INDEX cronq_jobs_ready (queue=?"]),
    "members": (("g", 0, 999, '["default"]', 10) * 2, ["cronq_jobs_group (job_group=? AND state=?"]),
    "first_in_group": (("g", "g"), ["cronq_jobs_group (job_group=? AND state=?"]),
    "asked_for": ((1,), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "block": (("g", "[]"), ["cronq_jobs_group (job_group=? AND state=?"]),
    "next_follower": (("g", 1), ["cronq_jobs_group (job_group=? AND state=?"]),
    "next_in_line": (("g", "g", "g"), ["cronq_jobs_group (job_group=? AND state=?"]),
    "due": ((9, 1000), ["cronq_jobs_future (available_at<?"]),
    "promote": (("ready", "[1]", 9), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "next_due": ((), ["cronq_jobs_future"]),
    "owners": ((), ["INDEX cronq_jobs_held"]),
    "held_by": (("w1",), ["cronq_jobs_held (worker=?"]),
    "leases": (("w1",), ["cronq_jobs_held (worker=?"]),
    "renew": ((9, "[1]", "w1"), ["cronq_jobs_held (worker=?"]),
    "requests": (("w1", "w1", 9), ["cronq_jobs_held (worker=?", "cronq_jobs_future"]),
    "prunable": (('["finished"]', 9, 1000), ["cronq_jobs_counted (state=? AND queue=? AND finished_at<?"]),
    "prune": (('["finished"]', 9, "[1]"), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "twin": (("k",), ["cronq_jobs_unique (unique_key=?"]),
    "unfinished": (('["k"]',), ["cronq_jobs_key (job_key=?"]),
    "history": ((1,), ["cronq_attempts_job (job_id=?"]),
    "prune_attempts": (("[1]",), ["cronq_attempts_job (job_id=?"]),
    "claim": (("w", 1, 2, 3, "h", 4, "[1]"), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "claim_behind": (("w", 1, 2, 3, "h", 4, "[1]"), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "release": ((1, 2), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "backlog": ((), ["INDEX cronq_jobs_ready"]),
    "counts": ((), [f"INDEX cronq_jobs_{name}" for name in ("counted", "ready", "future", "held", "group")]),
    "lately_ended": ((9,), ["cronq_jobs_counted (state=? AND queue=? AND finished_at>?"]),
    "lately_took": (("q1", 9, 1000), ["cronq_jobs_counted (state=? AND queue=? AND finished_at>?"]),
    "lately_tried": ((1000, 9), []),
    "newest": ((), []),
}


def plan(database: sqlite3.Connection, sql: str, parameters: tuple[object, ...]) -> list[str]:
    return [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]


def wrong(database: sqlite3.Connection) -> dict[str, list[str]]:
    """The plans that miss their index, scan all jobs, or sort what an index has in order."""
    found = {}
    for name, (parameters, expected) in HOT.items():
        steps = plan(database, getattr(Q, name), parameters)
        missing = [index for index in expected if not any(index in step for step in steps)]
        sorts = name in {"front", "members", "first_in_group", "prunable", "next_follower"} and "TEMP B-TREE" in str(
            steps
        )
        if missing or sorts or "SCAN cronq_jobs" in steps:
            found[name] = steps
    return found


def test_every_statement_uses_its_index(database: sqlite3.Connection) -> None:
    """With and without statistics, in one test: two would make the database twice on two cores."""
    assert wrong(database) == {}
    looked = plan(database, idle_statement("cronq_"), (0, 0, 0))
    assert "SCAN cronq_jobs" not in looked
    for index in ("ready", "future", "held", "counted"):
        assert any(f"cronq_jobs_{index}" in step for step in looked), looked
    database.execute("ANALYZE")
    assert wrong(database) == {}
