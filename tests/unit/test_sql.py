"""The statements as texts: fences, and as many parameters as the store passes."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cronq
from cronq.model.job import Claimed, NewJob, State
from cronq.model.outcome import Next, Outcome, Settlement
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


def test_columns_match_what_is_made_of_them() -> None:
    renamed = {"job_key": "key", "job_group": "group"}
    assert [renamed.get(name, name) for name in columns(CLAIMED_COLUMNS)] == list(Claimed._fields)
    jobs = tables("cronq_").tables["cronq_jobs"].columns
    for text in (CLAIMED_COLUMNS, JOB_COLUMNS, ENQUEUE_COLUMNS):
        assert set(columns(text)) <= set(jobs.keys())


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


def test_a_row_says_what_is_due() -> None:
    assert rows.new_row(NewJob("t", available_at=6), 5)[4:6] == ("scheduled", 6)
    assert rows.new_row(NewJob("t", available_at=5), 5)[4:6] == ("ready", 5)
    assert rows.new_row(NewJob("t", key="k"), 5)[6:9] == ("k", None, False)
    assert rows.new_row(NewJob("t", key="k", unique=True), 5)[6:9] == ("k", "k", True)


def test_a_row_without_empty_columns_is_for_jobs_that_leave_them_empty() -> None:
    usual = dict(zip(columns(USUAL_COLUMNS), rows.usual_row(NewJob("t", available_at=6), 5) or (), strict=True))
    full = dict(zip(columns(ENQUEUE_COLUMNS), rows.new_row(NewJob("t", available_at=6), 5), strict=True))
    assert usual == {name: full[name] for name in usual}
    assert not any(value for name, value in full.items() if name not in usual)
    for own in ({"key": "k"}, {"group": "g"}, {"time_limit": 1.0}, {"event": "e"}, {"retry": "{}"}):
        assert rows.usual_row(NewJob("t", **own), 5) is None


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
