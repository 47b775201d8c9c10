"""Each hot statement uses the index it names, with many ended and future jobs beside."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest

from cronq.model.job import State
from cronq.model.selection import Selection
from cronq.storage.conditions import where
from cronq.storage.idle_check import idle_statement
from cronq.storage.migrations import upgrade
from cronq.storage.sql.reads import recent_ids
from cronq.storage.sql.statements import Statements
from cronq.storage.tables import Tables
from cronq.times import Clock
from tests.integration.stores import config_in

Q = Statements("cronq_")


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
    limited = (
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 300000) INSERT INTO cronq_limited"
        " (job_id, limit_name, place, priority, due_at, job_group, since) SELECT n,"
        " CASE WHEN n % 3 = 0 THEN 'c' || n % 1000 ELSE 'smtp' END,"
        " CASE WHEN n % 300000 < 10 THEN 0 WHEN n % 3 = 0 THEN 1 + n % 2 * 2 ELSE 2 END, n % 100, n,"
        " CASE WHEN n % 10 = 0 THEN 'g' || n % 70 END, n FROM n"
    )
    connection.execute(limited)
    numbers = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?) INSERT INTO"
    connection.execute(f"{numbers} cronq_members (batch, job) SELECT n % 50, n FROM n", (100_000,))
    connection.execute(f"{numbers} cronq_edges (child, parent, kind) SELECT n + 1, n, 'after' FROM n", (50_000,))
    connection.execute(
        f"{numbers} cronq_batches (id, on_failed, opened_at, opened_by, ended_at) SELECT n, 'continue', n, 'ann',"
        " CASE WHEN n % 100 THEN n END FROM n",
        (5_000,),
    )


HOT = {
    "claim.claimable_queues": ((), ["cronq_jobs_ready"]),
    "claim.candidates": (("q1", 0, 999, 100), ["INDEX cronq_jobs_ready (queue=?"]),
    "claim.members": (("g", 0, 999, '["default"]', 10) * 2, ["cronq_jobs_group (job_group=? AND state=?"]),
    "claim.first_in_group": (("g", "g"), ["cronq_jobs_group (job_group=? AND state=?"]),
    "claim.asked_for": ((1,), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "groups.block": (("g", "[]"), ["cronq_jobs_group (job_group=? AND state=?"]),
    "groups.next_follower": (("g", 1), ["cronq_jobs_group (job_group=? AND state=?"]),
    "groups.next_blocked": (("g", "g", "g"), ["cronq_jobs_group (job_group=? AND state=?"]),
    "groups.held_by_failed": ((20,), ["cronq_jobs_group (job_group=? AND state=?"]),
    "edit.regrouped": ((9, 1), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "edit.rescheduled": ((9, 1), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "leases.due": ((9, 1000), ["cronq_jobs_future (available_at<?"]),
    "leases.still_due": (("[1]", 9), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "leases.promote_limited": (("[1]", 9), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "leases.promote": (("ready", "[1]", 9), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "leases.next_due": ((), ["cronq_jobs_future"]),
    "leases.owners": ((), ["INDEX cronq_jobs_held"]),
    "leases.held_by": (("w1",), ["cronq_jobs_held (worker=?"]),
    "leases.leases": (("w1",), ["cronq_jobs_held (worker=?"]),
    "leases.renew": ((9, "[1]", "w1"), ["cronq_jobs_held (worker=?"]),
    "workers.requests": (("w1", "w1", 9), ["cronq_jobs_held (worker=?", "cronq_jobs_future"]),
    "admin.prunable": (('["finished"]', 9, 1000), ["cronq_jobs_counted (state=? AND queue=? AND finished_at<?"]),
    "admin.prune": (('["finished"]', 9, "[1]"), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "flow.child_ids": ((1, 0, 50), ["cronq_edges_parent (parent=? AND child>?"]),
    "flow.parents": (("[1]",), ["(child=?", "USING INTEGER PRIMARY KEY (rowid=?"]),
    "flow.held": (("[1]",), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "flow.lock": (("[1]",), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "flow.noted": ((9,), ["SCAN cronq_loose_ends"]),
    "flow.with_flow": (("[1]",), ["cronq_jobs USING INTEGER PRIMARY KEY (rowid=?", "cronq_members_job (job=?"]),
    "flow.noted_jobs": (("[1]",), ["cronq_jobs USING INTEGER PRIMARY KEY (rowid=?", "cronq_members_job (job=?"]),
    "batches.going_on": ((1,), ["(batch=? AND job>?", "j USING INTEGER PRIMARY KEY (rowid=?"]),
    "batches.outstanding": ((1, 0), ["(batch=? AND job>?", "j USING INTEGER PRIMARY KEY (rowid=?"]),
    "batches.cancellable": ((1, 0, 500), ["(batch=? AND job>?", "j USING INTEGER PRIMARY KEY (rowid=?"]),
    "batches.tally": ((1,), ["(batch=?", "j USING INTEGER PRIMARY KEY (rowid=?"]),
    "batches.member_at": ((1, 1000), ["(batch=?"]),
    "batches.of_jobs": (("[1]",), ["cronq_members_job (job=?"]),
    "batches.needed": (("[1]",), ["cronq_members_job (job=?", "b USING INTEGER PRIMARY KEY (rowid=?"]),
    "batches.following": (("[-1]",), ["cronq_edges_parent (parent=?", "c USING INTEGER PRIMARY KEY (rowid=?"]),
    "batches.unended": ((20,), ["cronq_batches_ended (ended_at=?"]),
    "batches.unended_numbers": ((), ["cronq_batches_ended (ended_at=?"]),
    "batches.long_open": ((9, 9, 20), ["cronq_batches_ended (ended_at=?", "j USING INTEGER PRIMARY KEY", "m USING"]),
    "batches.newest_outstanding": ((1, 9), ["(batch=?", "j USING INTEGER PRIMARY KEY (rowid=?"]),
    "batches.mark": (("[1]",), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "batches.join": ((1, "[1]"), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "batches.end": ((1, "finished", 1), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "batches.prune": ((9,), ["cronq_batches_ended (ended_at<?", "(batch=?", "cronq_edges_parent (parent=?"]),
    "batches.prune_members": (("[1]",), ["cronq_members_job (job=?"]),
    "limits.first": ((1, "c3", 10), ["cronq_limited_line (place=? AND limit_name=?"]),
    "limits.places": (("smtp",), ["cronq_limited_line (place=? AND limit_name=?", "PRIMARY KEY (rowid=?"]),
    "limits.any_waiting": (("smtp",), ["cronq_limited_line (place=? AND limit_name=?"]),
    "limits.next_waiting": ((1, ""), ["cronq_limited_line (place=? AND limit_name>?"]),
    "limits.next_group": (("",), ["cronq_limited_group (job_group>?"]),
    "limits.ahead_in_group": (("g",), ["cronq_limited_group (job_group=? AND place=?"]),
    "limits.ready_in_group": (("g",), ["cronq_jobs_group (job_group=? AND state=?"]),
    "limits.first_in_group": (("g",), ["cronq_limited_group (job_group=? AND place=?"]),
    "limits.figures": ((), ["cronq_limited_line (place=?", "PRIMARY KEY (rowid=?"]),
    "limits.before": (("c3", 1, 1, 2, 2, 3), ["cronq_limited_line (place=? AND limit_name=?"]),
    "minutes.oldest": ((1,), ["sqlite_autoindex_cronq_minutes_1 (kind=?"]),
    "minutes.to_fold": ((0, 9, 500), ["sqlite_autoindex_cronq_minutes_1 (kind=? AND minute<?"]),
    "minutes.since": ((9,), ["sqlite_autoindex_cronq_minutes_1 (kind=? AND minute>?"]),
    "limits.standing": (("[1]",), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "limits.of": (("[1]",), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "limits.move": ((0, 1, "[1]", 1), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "limits.unrecorded": (("[1]",), ["l USING INTEGER PRIMARY KEY", "j USING INTEGER PRIMARY KEY"]),
    "limits.ready_under_rate": (("[1]",), ["l USING INTEGER PRIMARY KEY", "j USING INTEGER PRIMARY KEY"]),
    "limits.wait_for_place": (("[1]",), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "limits.admit": (("[1]",), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "limits.editable": (("[1]",), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "limits.hold_back": (("[1]",), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "limits.free": (("[1]",), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "limits.leave": (("[1]",), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "limits.next_opening": ((), ["cronq_limits_opens"]),
    "limits.opened": ((9,), ["cronq_limits_opens (opens_at<?"]),
    "limits.started": (("smtp", 9), ["cronq_starts_1 (limit_name=? AND started_at>?"]),
    "limits.prune": (("[1]",), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "enqueue.twin": (("k",), ["cronq_jobs_unique (unique_key=?"]),
    "reads.unfinished": (('["k"]',), ["cronq_jobs_key (job_key=?"]),
    "reads.history": ((1,), ["cronq_attempts_job (job_id=?"]),
    "admin.prune_attempts": (("[1]",), ["cronq_attempts_job (job_id=?"]),
    "claim.claim": (("w", 1, 2, 3, "h", 4, "[1]"), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "claim.claim_behind": (("w", 1, 2, 3, "h", 4, "[1]"), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "settle.release": ((1, 2), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "reads.backlog": ((), ["INDEX cronq_jobs_ready"]),
    "reads.counts": ((), [f"INDEX cronq_jobs_{name}" for name in ("counted", "ready", "future", "held", "group")]),
    "reads.lately_ended": ((9,), ["cronq_jobs_counted (state=? AND queue=? AND finished_at>?"]),
    "reads.lately_took": (("q1", 9, 1000), ["cronq_jobs_counted (state=? AND queue=? AND finished_at>?"]),
    "reads.lately_tried": ((1000, 9), []),
    "reads.newest": ((), []),
    "schedules.next_due": ((), ["cronq_schedules_due"]),
    "schedules.due": ((9, 500), ["cronq_schedules_due (due_at<?"]),
    "schedules.advance": ((1, 1, 1, "v", "s", 1, "{}", None), ["sqlite_autoindex_cronq_schedules_1 (name=?"]),
    "schedules.mark_job": (("s", "t", 1), ["USING INTEGER PRIMARY KEY (rowid=?"]),
    "schedules.unfinished_in_group": (("g",), ["cronq_jobs_group (job_group=? AND state=?"]),
    "schedules.enqueued": (("s", 1, 2), ["sqlite_autoindex_cronq_fires_1 (schedule=? AND fire_at>? AND fire_at<?"]),
    "schedules.ledger": (("s", 1, 2, 10), ["sqlite_autoindex_cronq_fires_1 (schedule=? AND fire_at>? AND fire_at<?"]),
    "schedules.lock": (("s",), ["sqlite_autoindex_cronq_schedules_1 (name=?"]),
    "schedules.without_job": (("s", 1, 2), ["sqlite_autoindex_cronq_fires_1 (schedule=? AND fire_at>?"]),
    "schedules.erase": (("s", 1), ["sqlite_autoindex_cronq_fires_1 (schedule=? AND fire_at=?"]),
    "schedules.latest_jobs": (("s", 10), ["sqlite_autoindex_cronq_fires_1 (schedule=?"]),
    "schedules.figures": ((9,), ["sqlite_autoindex_cronq_fires_1 (schedule=?"]),
}


def plan(database: sqlite3.Connection, sql: str, parameters: tuple[object, ...]) -> list[str]:
    return [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]


def wrong(database: sqlite3.Connection) -> dict[str, list[str]]:
    """The plans that miss their index, scan all jobs, or sort what an index has in order."""
    found = {}
    for name, (parameters, expected) in HOT.items():
        steps = plan(database, attrgetter(name)(Q), parameters)
        missing = [index for index in expected if not any(index in step for step in steps)]
        sorts = name in {
            "claim.candidates",
            "claim.members",
            "claim.first_in_group",
            "admin.prunable",
            "groups.next_follower",
            "limits.first",
            "limits.first_in_group",
        } and "TEMP B-TREE" in str(steps)
        if missing or sorts or "SCAN cronq_jobs" in steps:
            found[name] = steps
    return found


def test_every_statement_uses_its_index(database: sqlite3.Connection) -> None:
    """With and without statistics, in one test: two would make the database twice on two cores."""
    assert wrong(database) == {}
    looked = plan(database, idle_statement("cronq_"), (0, 0, 0, 0, 0))
    assert "SCAN cronq_jobs" not in looked
    for index in ("ready", "future", "held", "counted"):
        assert any(f"cronq_jobs_{index}" in step for step in looked), looked
    database.execute("ANALYZE")
    assert wrong(database) == {}


def test_jobs_that_a_listing_selects_are_found_by_indexes(database: sqlite3.Connection, tmp_path: Path) -> None:
    tables = Tables(config_in(tmp_path), Clock())
    for state, index in {"failed": "failed", "retrying": "future", "running": "held", "ready": "ready"}.items():
        selected, _ = where(Selection(states=frozenset({State(state)})), tables)
        counted = plan(database, f"SELECT count(*) FROM (SELECT id FROM cronq_jobs WHERE {selected} LIMIT 9)", ())
        assert any(f"cronq_jobs_{index}" in step for step in counted), counted
    sql = recent_ids(Q.names)
    steps = plan(database, sql, (9,) * sql.count("?"))
    assert any("cronq_jobs_counted (state=? AND queue=? AND finished_at>?" in step for step in steps), steps
    assert not [step for step in steps if step.startswith("SCAN cronq_jobs") and "INDEX" not in step], steps
