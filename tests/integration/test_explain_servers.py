"""On servers too, each hot statement uses the index it names, with many ended and future jobs beside."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from cronq.storage.drivers.opening import open_database
from cronq.storage.idle_check import idle_statement
from cronq.storage.sql.statements import Statements
from tests import databases, servers

if TYPE_CHECKING:
    from cronq.config.loader import Config
    from cronq.storage.drivers.database import Database

AMOUNTS = {"finished": 50_000, "scheduled": 12_500, "ready": 2_500, "running": 100}


class Filled(NamedTuple):
    """A database with many jobs, and its statements."""

    kind: str
    database: Database
    sql: Statements


@pytest.fixture(scope="module", params=databases.KINDS)
def filled(request: pytest.FixtureRequest) -> Iterator[Filled]:
    servers.require(request.param)
    config = databases.common(request.param, "many", partial(_fill, request.param))
    database = open_database(config)
    yield Filled(request.param, database, Statements(config.table_prefix, database.family))
    database.close()


NUMBERS = {
    "mariadb": "(SELECT seq AS n FROM seq_1_to_{0}) s",
    "mysql": "(WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {0})"
    " SELECT /*+ SET_VAR(cte_max_recursion_depth = {0}) */ n FROM s) s",
    "postgresql": "(SELECT generate_series AS n FROM generate_series(1, {0})) s",
}


def _fill(kind: str, config: Config) -> None:
    database = open_database(config)
    for state, amount in AMOUNTS.items():
        _add(kind, database, state, amount)
    numbers = NUMBERS[kind].format(60_000)
    database.execute(
        "INSERT INTO cronq_limited (job_id, limit_name, place, priority, due_at, job_group, since)"
        " SELECT n, CASE WHEN mod(n, 3) = 0 THEN 'smtp' ELSE concat('c', mod(n, 100)) END,"
        " CASE WHEN n < 10 THEN 0 WHEN mod(n, 3) = 0 THEN 1 ELSE 2 END, mod(n, 100), n,"
        f" CASE WHEN mod(n, 10) = 0 THEN concat('g', mod(n, 70)) END, n FROM {numbers}"
    )
    _add_flow(database, kind)
    database.execute("ANALYZE TABLE cronq_limited" if database.family == "mysql" else "ANALYZE cronq_limited")
    database.execute("ANALYZE TABLE cronq_jobs" if database.family == "mysql" else "ANALYZE cronq_jobs")
    database.close()


def _add_flow(database: Database, kind: str) -> None:
    """50 batches of 1,000 members each, and 20,000 jobs in a chain."""
    for sql, amount in (
        ("cronq_members (batch, job) SELECT mod(n, 50), n", 50_000),
        ("cronq_edges (child, parent, kind) SELECT n + 1, n, 'after'", 20_000),
        ("cronq_batches (id, on_failed, opened_at, opened_by, ended_at) SELECT n, 'continue', n, 'ann', n", 5_000),
    ):
        database.execute(f"INSERT INTO {sql} FROM {NUMBERS[kind].format(amount)}")
    for table in ("members", "edges", "batches"):
        database.execute(f"ANALYZE {'TABLE ' * (database.family == 'mysql')}cronq_{table}")


def _add(kind: str, database: Database, state: str, amount: int) -> None:
    numbers = NUMBERS[kind].format(amount)
    finished = "n" if state == "finished" else "NULL"
    lease = "n" if state == "running" else "NULL"
    database.execute(
        "INSERT INTO cronq_jobs (queue, priority, state, available_at, task, args, max_attempts, created_at, job_group,"
        " finished_at, lease_until, worker, token)"
        f" SELECT concat('q', mod(n, 5)), mod(n, 100), '{state}', n + 1000, 't', '{{}}', 20, n,"
        f" CASE WHEN mod(n, 10) = 0 THEN concat('g', mod(n, 70)) END, {finished}, {lease},"
        f" concat('w', mod(n, 4)), n FROM {numbers}"
    )


IDS = list(range(1, 101))
HOT: dict[str, tuple[tuple[Any, ...], str, int]] = {
    "claim.claimable_queues": ((), "ready", 6_000),
    "claim.candidates": (("q1", 0, 999, 100), "ready", 2_000),
    "claim.members": (("g10", 0, 999, ["default"], 10) * 2, "group", 2_000),
    "claim.first_in_group": (("g10", "g10"), "group", 2_000),
    "claim.asked_for": ((1,), "PRIMARY", 10),
    "groups.block": (("g10", IDS), "group", 2_000),
    "groups.next_follower": (("g10", 1), "group", 2_000),
    "leases.due": ((1_100, 1000), "future", 2_000),
    "leases.still_due": ((IDS, 9), "PRIMARY", 2_000),
    "leases.promote_limited": ((IDS, 9), "PRIMARY", 2_000),
    "leases.promote": (("ready", IDS, 9), "PRIMARY", 2_000),
    "leases.next_due": ((), "future", 2_000),
    "leases.owners": ((), "held", 1_000),
    "leases.held_by": (("w1",), "held", 1_000),
    "leases.leases": (("w1",), "held", 1_000),
    "leases.renew": ((9, IDS, "w1"), "PRIMARY", 1_000),
    "leases.take_over": (("w9", 1, IDS, "w1", 9), "PRIMARY", 1_000),
    "workers.requests": (("w1", "w1", 9), "held", 2_000),
    "admin.prunable": ((["finished"], 100, 1000), "ended", 3_000),
    "admin.prune": ((["finished"], 100, IDS), "PRIMARY", 1_000),
    "enqueue.twin": (("k",), "unique", 10),
    "enqueue.twins": ((["k", "l"],), "unique", 10),
    "enqueue.arrived": ((1, 1, 9), "arrived", 10),
    "reads.unfinished": ((["k"],), "key", 10),
    "reads.history": ((1,), "job", 10),
    "admin.prune_attempts": ((IDS,), "job", 1_000),
    "claim.claim": (("w", 1, 2, 3, "h", 4, IDS), "PRIMARY", 1_000),
    "claim.claim_behind": (("w", 1, 2, 3, "h", 4, IDS), "PRIMARY", 1_000),
    "settle.release": ((1, 2), "PRIMARY", 10),
    "flow.child_ids": ((1, 0, 50), "parent", 1_000),
    "flow.parent_ids": ((2,), "PRIMARY", 100),
    "flow.parents": ((IDS,), "PRIMARY", 1_000),
    "flow.children": ((1, 50), "parent", 1_000),
    "flow.held": ((IDS,), "PRIMARY", 1_000),
    "flow.is_held": ((IDS,), "PRIMARY", 1_000),
    "flow.lock": ((IDS,), "PRIMARY", 1_000),
    "flow.release": ((IDS,), "PRIMARY", 1_000),
    "flow.cancel": ((1, "why", 1), "PRIMARY", 100),
    "flow.put_back": ((1,), "PRIMARY", 100),
    "flow.need": ((1,), "PRIMARY", 100),
    "flow.with_flow": ((IDS,), "PRIMARY", 1_000),
    "flow.noted_jobs": ((IDS,), "PRIMARY", 1_000),
    "admin.needed": ((IDS,), "parent", 1_000),
    "batches.outstanding": ((1, 0), "PRIMARY", 3_000),
    "batches.cancellable": ((1, 0, 500), "PRIMARY", 3_000),
    "batches.tally": ((1,), "PRIMARY", 3_000),
    "batches.member_at": ((1, 1000), "PRIMARY", 3_000),
    "batches.of_jobs": ((IDS,), "job", 1_000),
    "batches.needed": ((IDS,), "job", 1_000),
    "batches.following": (([-1, 1],), "parent", 1_000),
    "batches.unended": ((20,), "ended", 1_000),
    "batches.unended_numbers": ((), "ended", 1_000),
    "batches.long_open": ((9, 9, 20), "ended", 3_000),
    "batches.newest_outstanding": ((1, 9), "PRIMARY", 3_000),
    "batches.mark": ((IDS,), "PRIMARY", 1_000),
    "batches.end": ((1, "finished", 1), "PRIMARY", 100),
    # 20,000 stand in this line; of a range that long servers know no more than a guess from a few pages.
    "limits.first": ((1, "smtp", 10), "line", 50_000),
    "limits.places": (("smtp",), "line", 1_000),
    "limits.any_waiting": (("smtp",), "line", 50_000),
    "limits.ready_in_group": (("g10",), "group", 2_000),
    "limits.first_in_group": (("g10",), "group", 2_000),
    "limits.standing": ((IDS,), "PRIMARY", 1_000),
    "limits.move": ((0, 1, IDS, 1), "PRIMARY", 1_000),
    "limits.unrecorded": ((IDS,), "PRIMARY", 1_000),
    "limits.ready_under_rate": ((IDS,), "PRIMARY", 1_000),
    "limits.wait_for_place": ((IDS,), "PRIMARY", 1_000),
    "limits.admit": ((IDS,), "PRIMARY", 1_000),
    "limits.editable": ((IDS,), "PRIMARY", 1_000),
    "limits.hold_back": ((IDS,), "PRIMARY", 1_000),
    "limits.free": ((IDS,), "PRIMARY", 1_000),
    "limits.leave": ((IDS,), "PRIMARY", 1_000),
    "limits.of": ((IDS,), "PRIMARY", 1_000),
}
"""Parameters, the index that serves the statement, and more rows than it may have to look at."""

ALTERNATIVES = {
    "PRIMARY": (
        *("PRIMARY", "jobs_pkey", "members_pkey", "edges_pkey", "batches_pkey", "batches_ended"),
        *("jobs_held", "jobs_ended", "jobs_future", "limited_pkey"),
    )
}
AT_ONCE = ("optimized away", "after reading const tables", "no matching row in const table")
"""What MariaDB and MySQL say when one step into an index, taken while it plans, is the answer."""


@pytest.mark.parametrize("name", HOT)
def test_a_statement_uses_its_index(filled: Filled, name: str) -> None:
    parameters, index, most = HOT[name]
    if name in {"claim.claim", "claim.claim_behind"} and filled.database.family == "mysql":
        assert "FORCE INDEX (PRIMARY)" in attrgetter(name)(filled.sql)
    plan = explain(filled, attrgetter(name)(filled.sql), parameters)
    assert any(one in plan.text for one in (*ALTERNATIVES.get(index, (f"_{index}",)), *AT_ONCE)), plan.text
    assert not plan.scans, plan.text
    assert plan.rows < most, plan.text


UNKNOWN = (
    "CREATE TEMPORARY TABLE cronq_jobs (LIKE cronq_jobs INCLUDING ALL) ON COMMIT DROP",
    "INSERT INTO cronq_jobs SELECT * FROM public.cronq_jobs WHERE mod(id, 13) = 0",
)
"""5,000 jobs of whose values PostgreSQL knows nothing, as of those of a new queue."""


@pytest.mark.parametrize("statistics", [True, False], ids=["known", "unknown"])
def test_settled_jobs_are_found_by_their_ids(filled: Filled, *, statistics: bool) -> None:
    server: Any = filled.database
    update = server.text_for_each(filled.sql.settle.finish, "iiiiifii")
    if server.family == "mysql":
        assert "FORCE INDEX (PRIMARY)" in update
        return

    def planned(session: Any) -> dict[str, Any]:
        for statement in () if statistics else UNKNOWN:
            session.execute(statement)
        ((found,),) = session.run(f"EXPLAIN (FORMAT JSON) {update}", (server.array([(1,) * 8] * 5),)).fetchall()
        return found[0]["Plan"]  # type: ignore[no-any-return]

    nodes = list(_nodes(server.transact(planned)))
    assert [node["Index Cond"] for node in nodes if "Index Cond" in node] == ["(id = r.c6)"], nodes


def test_the_idle_check_reads_next_to_nothing(filled: Filled) -> None:
    plan = explain(filled, idle_statement("cronq_", filled.database.family), (1_000, 0, 0, 0, 0))
    assert not plan.scans, plan.text
    for index in ("ready", "future", "held", "ended"):
        assert f"_{index}" in plan.text


def test_a_claim_reads_as_many_rows_as_it_takes(filled: Filled) -> None:
    """Counted by the server, not estimated."""
    statement = filled.sql.claim.candidates, ("q1", 0, 999, 100)
    assert rows_read(filled, *statement) < 200


def test_an_admission_reads_as_many_rows_as_it_takes(filled: Filled) -> None:
    assert rows_read(filled, filled.sql.limits.first, (1, "smtp", 10)) < 30


def rows_read(filled: Filled, sql: str, parameters: tuple[Any, ...]) -> int:
    if filled.database.family == "mysql":
        filled.database.query("FLUSH STATUS")
        filled.database.query(sql, parameters)
        read = filled.database.query("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(count) for _, count in read)
    ((found,),) = filled.database.query(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters)
    nodes = list(_nodes(found[0]["Plan"]))
    return sum(
        node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in nodes if "Scan" in node["Node Type"]
    )


MYSQL_PLANS = {"mariadb": ("EXPLAIN", 3, 8), "mysql": ("EXPLAIN FORMAT = TRADITIONAL", 4, 9)}
"""How a plan is asked for, and the columns with the kind of access and the number of rows."""


class Plan(NamedTuple):
    """What a server says it would do: its words, whether it reads all jobs, the most rows of one step."""

    text: str
    scans: bool
    rows: float


def explain(filled: Filled, sql: str, parameters: tuple[Any, ...]) -> Plan:
    if filled.database.family == "mysql":
        words, kind, rows = MYSQL_PLANS[filled.kind]
        steps = filled.database.query(f"{words} {sql}", parameters)
        scans = any(step[2] == "cronq_jobs" and step[kind] in {"ALL", "index"} for step in steps)
        return Plan(str(steps), scans, max(float(step[rows] or 0) for step in steps))
    ((found,),) = filled.database.query(f"EXPLAIN (FORMAT JSON) {sql}", parameters)
    nodes = list(_nodes(found[0]["Plan"]))
    scans = any(node["Node Type"] == "Seq Scan" and node["Relation Name"] == "cronq_jobs" for node in nodes)
    return Plan(str(found), scans, max(node["Plan Rows"] for node in nodes))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    inner = itertools.chain.from_iterable(_nodes(child) for child in node.get("Plans", []))
    limit = node["Plan Rows"] if node["Node Type"] == "Limit" else None
    yield from (one if limit is None else one | {"Plan Rows": limit} for one in inner)
