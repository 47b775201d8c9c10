"""Each hot statement uses the index it names, with many ended and future jobs beside."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq.migrations import upgrade
from cronq.queries import Queries, glance
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
        yield connection


def _fill(connection: sqlite3.Connection) -> None:
    sql = (
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?) INSERT INTO cronq_jobs"
        " (queue, priority, state, available_at, task, max_attempts, created_at, job_group, finished_at, lease_until,"
        " worker, token) SELECT 'q' || n % 5, n % 100, ?, n, 't', 20, n, CASE WHEN n % 10 = 0 THEN 'g' || n % 70 END,"
        " {ended}, {lease}, 'w' || n % 4, n FROM n"
    )
    connection.execute(sql.format(ended="n", lease="NULL"), (200_000, "finished"))
    connection.execute(sql.format(ended="NULL", lease="NULL"), (50_000, "scheduled"))
    connection.execute(sql.format(ended="NULL", lease="NULL"), (5_000, "ready"))
    connection.execute(sql.format(ended="NULL", lease="n"), (100, "running"))


HOT = {
    "queues_with_ready": ((), ["cronq_jobs_ready"]),
    "front": (("q1", 0, 999, 100), ["COVERING INDEX cronq_jobs_ready (queue=?"]),
    "behind": (("g", 0, 999, 10), ["cronq_jobs_group (job_group=? AND state=?"]),
    "block": (("g", "[]"), ["cronq_jobs_group (job_group=? AND state=?"]),
    "next_follower": (("g", 1), ["cronq_jobs_group (job_group=? AND state=?"]),
    "next_in_line": (("g", "g", "g"), ["cronq_jobs_group (job_group=? AND state=?"]),
    "due": ((9, 1000), ["cronq_jobs_future (available_at<?"]),
    "promote": (("ready", "[1]", 9), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "next_due": ((), ["cronq_jobs_future"]),
    "owners": ((), ["COVERING INDEX cronq_jobs_held"]),
    "held_by": (("w1",), ["cronq_jobs_held (worker=?"]),
    "leases": (("w1",), ["cronq_jobs_held (worker=?"]),
    "renew": ((9, "[1]", "w1"), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "kills": (("w1",), ["cronq_jobs_held (worker=?"]),
    "prunable": ((9, '["finished"]', 1000), ["cronq_jobs_ended (finished_at<?"]),
    "prune": ((9, '["finished"]', "[1]"), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "twin": (("k",), ["cronq_jobs_unique (unique_key=?"]),
    "unfinished": (('["k"]',), ["cronq_jobs_key (job_key=?"]),
    "history": ((1,), ["cronq_attempts_job (job_id=?"]),
    "prune_attempts": (("[1]",), ["cronq_attempts_job (job_id=?"]),
    "claim": (("w", 1, 2, 3, "h", 4, "[1]"), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "claim_behind": (("w", 1, 2, 3, "h", 4, "[1]"), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "release": ((1, 2), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "backlog": ((), ["COVERING INDEX cronq_jobs_ready"]),
}


def plan(database: sqlite3.Connection, sql: str, parameters: tuple[object, ...]) -> list[str]:
    return [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]


@pytest.mark.parametrize("analysed", [False, True], ids=["fresh", "analysed"])
@pytest.mark.parametrize("name", HOT)
def test_index(database: sqlite3.Connection, name: str, analysed: bool) -> None:
    if analysed:
        database.execute("ANALYZE")
    parameters, expected = HOT[name]
    steps = plan(database, getattr(Q, name), parameters)
    for index in expected:
        assert any(index in step for step in steps), steps
    assert not [step for step in steps if step == "SCAN cronq_jobs"], steps


@pytest.mark.parametrize("name", ["front", "held_by", "behind", "prunable"])
def test_no_sorting_where_the_index_has_the_order(database: sqlite3.Connection, name: str) -> None:
    steps = plan(database, getattr(Q, name), HOT[name][0])
    assert name == "held_by" or not [step for step in steps if "TEMP B-TREE" in step]


def test_glance(database: sqlite3.Connection) -> None:
    steps = plan(database, glance("cronq_"), (0, 0))
    assert not [step for step in steps if step == "SCAN cronq_jobs"], steps
    for index in ("ready", "future", "held", "ended"):
        assert any(f"cronq_jobs_{index}" in step for step in steps), steps
