"""Jobs in a caller's transaction are rung for after its COMMIT, and not at all after a ROLLBACK."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, RootTransaction, create_engine, event, text
from sqlalchemy.orm import Session

from cronq import Cronq
from cronq.config.loader import from_database
from cronq.storage.drivers.after_commit import after_commit
from cronq.transports.announcer import Announcer
from tests.integration.stores import select


class Rung(list[int]):
    """What was rung for; each id must be in the database by then, as another connection sees it."""

    def __init__(self, queue: Cronq) -> None:
        super().__init__()
        self._config = queue.config

    def __bool__(self) -> bool:
        return True

    def notify(self, jobs: list[tuple[str, int]]) -> None:
        for _, job_id in jobs:
            assert select(self._config, "SELECT id FROM cronq_jobs WHERE id = ?", (job_id,)) == [(job_id,)]
            self.append(job_id)

    def close(self) -> None:
        """There is nothing to close."""


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Cronq]:
    config = from_database(f"sqlite:///{tmp_path}/queue.db").with_values("the test", wake=("tcp://127.0.0.1:1",))
    with Cronq(config) as queue:
        queue.store.prepare()
        yield queue


@pytest.fixture
def rung(queue: Cronq) -> Iterator[Rung]:
    rung = Rung(queue)
    announcer = Announcer(queue.config)
    vars(announcer)["_notifier"] = rung
    with queue.store.wake.announced_by(announcer):
        yield rung


@pytest.fixture
def engine(queue: Cronq) -> Iterator[Engine]:
    # With the driver's own transactions a savepoint would begin none: SQLAlchemy's documentation has this recipe.
    engine = create_engine(f"sqlite:///{queue.config.sqlite_path()}")

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    yield engine
    engine.dispose()


def put(queue: Cronq, connection: Any) -> int:
    return queue.enqueue("task", check=False, connection=connection).id


def test_a_connection_that_commits(queue: Cronq, rung: Rung, engine: Engine) -> None:
    with engine.connect() as connection:
        first = put(queue, connection)
        second = put(queue, connection)
        assert rung == []
        connection.commit()
        assert rung == [first, second]
        third = put(queue, connection)
        connection.commit()
        connection.execute(text("SELECT 1"))
        connection.commit()
    assert rung == [first, second, third]


def test_a_block_that_commits_at_its_end(queue: Cronq, rung: Rung, engine: Engine) -> None:
    with engine.begin() as connection:
        job = put(queue, connection)
        assert rung == []
    assert rung == [job]


def test_a_rollback_and_what_comes_after_it(queue: Cronq, rung: Rung, engine: Engine) -> None:
    with engine.connect() as connection:
        put(queue, connection)
        connection.rollback()
        connection.execute(text("SELECT 1"))
        connection.commit()
        assert rung == []
        put(queue, connection)
    with pytest.raises(ZeroDivisionError), engine.begin() as connection:
        _ = put(queue, connection) / 0
    assert rung == []


def test_savepoints(queue: Cronq, rung: Rung, engine: Engine) -> None:
    with engine.begin() as connection:
        outer = put(queue, connection)
        with connection.begin_nested():
            kept = put(queue, connection)
        undone = connection.begin_nested()
        put(queue, connection)
        with connection.begin_nested():
            put(queue, connection)
        undone.rollback()
        last = put(queue, connection)
        assert rung == []
    assert rung == [outer, kept, last]


def test_a_savepoint_that_is_older_than_the_first_job(queue: Cronq, rung: Rung, engine: Engine) -> None:
    with engine.begin() as connection:
        undone = connection.begin_nested()
        put(queue, connection)
        undone.rollback()
        kept = put(queue, connection)
    assert rung == [kept]


def test_a_session(queue: Cronq, rung: Rung, engine: Engine) -> None:
    with Session(engine) as session:
        first = put(queue, session)
        with session.begin_nested():
            second = put(queue, session)
        undone = session.begin_nested()
        put(queue, session)
        undone.rollback()
        assert rung == []
        session.commit()
        assert rung == [first, second]
        put(queue, session)
        session.rollback()
        third = put(queue, session)
        session.commit()
    assert rung == [first, second, third]


def test_a_session_inside_an_outer_transaction(queue: Cronq, rung: Rung, engine: Engine) -> None:
    with engine.connect() as connection:
        with connection.begin() as outer, Session(connection, join_transaction_mode="create_savepoint") as session:
            put(queue, session)
            session.commit()
            assert rung == []
            outer.rollback()
        with connection.begin(), Session(connection, join_transaction_mode="create_savepoint") as session:
            job = put(queue, session)
            session.commit()
        assert rung == [job]


def test_a_commit_that_fails(queue: Cronq, rung: Rung, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> None:
        raise OSError("the disk is full")

    with engine.connect() as connection:
        put(queue, connection)
        monkeypatch.setattr(engine.dialect, "do_commit", refuse)
        with pytest.raises(OSError, match="full"):
            connection.commit()
        monkeypatch.undo()
    assert rung == []


def test_where_nothing_is_to_be_committed(queue: Cronq, engine: Engine) -> None:
    done: list[str] = []
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        after_commit(connection, lambda: done.append("at once"))
        assert done == ["at once"]
    assert queue.config.wake


def test_a_sqlalchemy_that_commits_in_another_way_loses_only_wake_ups(
    queue: Cronq,
    rung: Rung,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Connection, "another_way", Connection._commit_impl, raising=False)
    monkeypatch.setattr(RootTransaction, "_connection_commit_impl", lambda self: self.connection.another_way())
    monkeypatch.delattr(Connection, "_commit_impl")
    for _ in range(2):
        with engine.begin() as connection:
            job = put(queue, connection)
        assert select(queue.config, "SELECT state FROM cronq_jobs WHERE id = ?", (job,)) == [("ready",)]
    assert rung == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "at their next look: 'Connection' object has no attribute '_commit_impl'" in caplog.text
