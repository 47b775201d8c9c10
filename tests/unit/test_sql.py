"""The statements as texts: fences, and as many parameters as the store passes."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cronq
from cronq.model.job import Claimed, Failure, NewJob, State
from cronq.model.outcome import Next, Outcome, Settlement
from cronq.model.states import UNFINISHED
from cronq.storage import rows
from cronq.storage.idle_check import idle_statement
from cronq.storage.schema import tables
from cronq.storage.sql.columns import CLAIMED_COLUMNS, ENQUEUE_COLUMNS, FUTURE_STATES, JOB_COLUMNS, USUAL_COLUMNS
from cronq.storage.sql.dialect import Dialect
from cronq.storage.sql.statements import Statements
from tests.unit.claims import claimed


def texts(statements: Statements) -> dict[str, str]:
    """All statements by the name of their subject and their own, as `settle.finish`."""
    subjects = set(Statements.__annotations__)
    assert len(subjects) > 8
    return {
        f"{subject}.{name}": text
        for subject in subjects
        for name, text in vars(getattr(statements, subject)).items()
        if text and not name.startswith("_")
    }


TEXTS = texts(Statements("cronq_"))
SETTLED = Settlement(claimed(), Outcome("success", 1, 2), Next(State.FINISHED))


def parameters(sql: str) -> int:
    return sql.count("?")


def columns(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    from sqlalchemy import create_mock_engine
    from sqlalchemy.dialects import sqlite

    connection = sqlite3.connect(":memory:")
    engine = create_mock_engine(
        "sqlite://", lambda ddl, *_: connection.execute(str(ddl.compile(dialect=sqlite.dialect())))
    )
    tables("cronq_").create_all(engine, checkfirst=False)
    yield connection
    connection.close()


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_every_statement_fits_the_schema(database: sqlite3.Connection, name: str) -> None:
    sql = TEXTS[name]
    database.execute(f"EXPLAIN {sql}", [None] * parameters(sql))


def test_the_idle_check_fits_too(database: sqlite3.Connection) -> None:
    assert database.execute(idle_statement("cronq_"), (0, 0, 0, 0, 0)).fetchone() == (0,)
    assert FUTURE_STATES in idle_statement("cronq_")


@pytest.mark.parametrize("name", ["settle.settle", "settle.release", "settle.still_held"])
def test_writing_an_ending_is_fenced(name: str) -> None:
    assert TEXTS[name].endswith("WHERE id = ? AND token = ? AND lease_until IS NOT NULL")


@pytest.mark.parametrize("name", ["settle.settle_alone", "settle.finish"])
def test_an_ending_that_has_consequences_is_not_written_without_them(name: str) -> None:
    assert TEXTS[name].endswith("WHERE id = ? AND token = ? AND lease_until IS NOT NULL AND flow IS NULL")


@pytest.mark.parametrize("name", ["settle.settle_unneeded", "settle.finish_unneeded"])
def test_the_end_of_a_member_that_a_job_comes_after_is_not_written_without_that(name: str) -> None:
    assert TEXTS[name].endswith("WHERE id = ? AND token = ? AND lease_until IS NOT NULL AND (flow & 4) = 0")


@pytest.mark.parametrize("name", ["claim.claim", "claim.claim_behind"])
def test_a_claim_takes_nothing_that_is_held(name: str) -> None:
    assert "AND lease_until IS NULL AND state " in TEXTS[name]
    assert "attempt = attempt + 1" in TEXTS[name]


@pytest.mark.parametrize("name", ["admin.cancel", "groups.unblock", "groups.next_blocked", "claim.members"])
def test_held_jobs_are_left_to_their_owner(name: str) -> None:
    assert "lease_until IS NULL" in TEXTS[name]


@pytest.mark.parametrize("name", ["admin.prune", "admin.prunable"])
def test_only_what_ended_is_pruned(name: str) -> None:
    assert "finished_at < ?" in TEXTS[name]
    assert "NOT EXISTS" in TEXTS[name]


def test_jobs_of_every_state_are_counted() -> None:
    counted = set(re.findall(r"'(\w+)'", TEXTS["reads.counts"]))
    assert counted >= set(UNFINISHED)  # ended ones by `finished_at`


def test_columns_match_what_is_made_of_them() -> None:
    renamed = {"job_key": "key", "job_group": "group"}
    assert [renamed.get(name, name) for name in columns(CLAIMED_COLUMNS)] == list(Claimed._fields)
    jobs = tables("cronq_").tables["cronq_jobs"].columns
    assert {*columns(CLAIMED_COLUMNS), *columns(JOB_COLUMNS), *ENQUEUE_COLUMNS} <= set(jobs.keys())


@pytest.mark.parametrize(
    ("name", "passed"),
    [
        ("enqueue.enqueue", len(rows.new_row(NewJob("t"), 0))),
        ("enqueue.enqueue_grouped", len(rows.new_row(NewJob("t"), 0)) + 1),
        ("enqueue.enqueue_usual", len(rows.usual_row(NewJob("t"), 0) or ())),
        ("enqueue.enqueue_alike", len(rows.new_row(NewJob("t"), 0))),
        ("settle.settle", len(rows.settled_row(SETTLED))),
        ("settle.finish", len(rows.finished_row(SETTLED))),
        ("settle.record_attempt", len(rows.attempt_row(SETTLED, "host"))),
        ("claim.candidates", 4),
        ("claim.members", 10),
        ("claim.asked_for", 1),
        ("claim.first_in_group", 2),
        ("claim.claim", 7),
        ("claim.claim_behind", 7),
        ("settle.release", 2),
        ("settle.already_settled", 4),
        ("leases.renew", 3),
        ("leases.leases", 1),
        ("leases.due", 2),
        ("leases.promote", 3),
        ("admin.prunable", 3),
        ("admin.prune", 3),
        ("admin.retry", 2),
        ("admin.cancel", 4),
        ("groups.next_blocked", 3),
        ("groups.unblock", 1),
        ("groups.free", 2),
        ("groups.hand_on", 3),
    ],
)
def test_parameters(name: str, passed: int) -> None:
    assert parameters(TEXTS[name]) == passed


def test_the_prefix_is_in_front_of_every_table() -> None:
    for name, text in texts(Statements("x_")).items():
        assert "cronq_" not in text
        assert not re.search(r"(FROM|INTO|UPDATE) (jobs|attempts|groups|paused)\b", text), name


def inserted(job: NewJob, now: int = 5) -> dict[str, Any]:
    return dict(zip(ENQUEUE_COLUMNS, rows.new_row(job, now), strict=True))


def test_a_row_says_what_is_due() -> None:
    assert inserted(NewJob("t", available_at=6)).items() >= {("state", "scheduled"), ("available_at", 6)}
    assert inserted(NewJob("t", available_at=5)).items() >= {("state", "ready"), ("available_at", 5)}
    keyed = {("job_key", "k"), ("unique_key", None), ("is_unique", 0)}
    assert inserted(NewJob("t", key="k")).items() >= keyed
    unique = {("job_key", "k"), ("unique_key", "k"), ("is_unique", 1)}
    assert inserted(NewJob("t", key="k", unique=True)).items() >= unique


def test_a_row_without_empty_columns_is_for_jobs_that_leave_them_empty() -> None:
    usual = dict(zip(USUAL_COLUMNS, rows.usual_row(NewJob("t", available_at=6), 5) or (), strict=True))
    full = inserted(NewJob("t", available_at=6))
    assert usual == {name: full[name] for name in usual}
    assert not any(value for name, value in full.items() if name not in usual)
    for own in ({"key": "k"}, {"group": "g"}, {"time_limit": 1.0}, {"event": "e"}, {"retry": "{}"}):
        assert rows.usual_row(NewJob("t", **own), 5) is None


NOTED = Outcome(
    "error", 1, 2, error=Failure("E", "message", "traceback", "shop.E"), exit_status=3, signal="SIGINT", result="4",
    warnings=("w",), notes={"n": 5}, stdout="out", stderr="err", peak_memory=6, memory_before=7, cpu_time=8.5, pid=9,
)  # fmt: skip
WRITTEN = {
    "started_at": 1, "finished_at": 2, "outcome": "error", "error_class": "E", "error_message": "message",
    "stdout": "out", "stderr": "err", "pid": 9,
}  # fmt: skip


def assigned(sql: str) -> list[str]:
    """The columns to which an UPDATE assigns parameters, and those that its condition compares with one."""
    return re.findall(r"(\w+) = (?:coalesce\(|\w+ [-+] |CASE WHEN )?\?", sql)


def test_every_value_of_a_settlement_is_written_to_the_column_of_its_name() -> None:
    settled = Settlement(claimed(id=10, token=11), NOTED, Next(State.FAILED, 12, error=NOTED.error), worker="me")
    values = dict(zip(assigned(TEXTS["settle.settle"]), rows.settled_row(settled), strict=True))
    assert values == WRITTEN | {
        "state": "failed", "available_at": 12, "attempt": 0, "snoozes": 0, "crashes": 0, "waiting_since": None,
        "unknown_since": None, "result": "4", "warnings": '["w"]', "notes": '{"n": 5}', "peak_memory": 6,
        "memory_before": 7, "cpu_time": 8.5, "unique_key": True, "id": 10, "token": 11,
    }  # fmt: skip
    measured = {"started_at": 1, "finished_at": 2, "pid": 9, "peak_memory": 6, "memory_before": 7, "cpu_time": 8.5}
    values = dict(zip(assigned(TEXTS["settle.finish"]), rows.finished_row(settled), strict=True))
    assert values == measured | {"id": 10, "token": 11}
    listed = TEXTS["settle.record_attempt"].partition("(")[2].partition(")")[0].replace('"', "")
    values = dict(zip(columns(listed), rows.attempt_row(settled, "here"), strict=True))
    assert values == WRITTEN | {
        "job_id": 10, "number": 1, "host": "here", "worker": "me", "traceback": "traceback", "error_path": "shop.E",
        "exit_status": 3, "signal": "SIGINT",
    }  # fmt: skip


def test_only_a_first_plain_success_takes_the_short_way() -> None:
    assert rows.is_plain(SETTLED)
    for job in (claimed(key="k"), claimed(attempt=2), claimed(snoozes=1), claimed(spent_before=1)):
        assert not rows.is_plain(SETTLED._replace(job=job))
    for field in ("result", "stdout", "stderr", "notes"):
        changed: dict[str, Any] = {field: "x"}
        assert not rows.is_plain(SETTLED._replace(outcome=SETTLED.outcome._replace(**changed)))


BY_FAMILY = {
    "config/loader.py",  # sqlite_path, for programs that open the file, too
    "storage/idle_check.py",  # an idle run doesn't load the dialect
    "storage/migrations/versions/0001_first_tables.py",
}


def test_what_differs_between_engines_is_a_field_of_the_dialect() -> None:
    """Who adds an engine reads the list in docs/architecture.md and no others; Django has its own names."""
    package = Path(cronq.__file__).parent
    asking = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r'\bfamily [!=]= "', path.read_text()) and "django" not in str(path.relative_to(package))
    }
    assert asking == BY_FAMILY


@pytest.mark.parametrize("family", ["sqlite", "mysql", "postgresql"])
def test_each_engine_has_the_same_fields(family: str) -> None:
    """A field that one engine lacks is found when the package is imported, not by the first job that needs it."""
    dialect, other = Statements("cronq_", family).dialect, Statements("cronq_", "sqlite").dialect
    assert vars(dialect).keys() == vars(other).keys()
    with pytest.raises(TypeError, match="'untyped'"):
        Dialect(**{name: value for name, value in vars(dialect).items() if name != "untyped"})
    assert dialect.many_writers == dialect.locks_groups == bool(dialect.for_update)


def test_the_document_shows_the_claim_of_mariadb_as_it_is() -> None:
    document = (Path(cronq.__file__).parents[1] / "docs/architecture.md").read_text()
    [shown] = re.findall(r"```sql\n(.*?)```", document, re.DOTALL)
    assert shown.split() == Statements("cronq_", "mysql").claim.claim.split()
