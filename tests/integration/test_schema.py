"""Making the tables and bringing them up to date."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from cronq.config.loader import Config
from cronq.errors import ConfigError
from cronq.model.job import NewJob
from cronq.model.selection import Selection
from cronq.storage import migrations, schema_version
from cronq.storage.idle_check import anything_to_do
from cronq.storage.migrations import upgrade
from cronq.storage.schema import tables
from cronq.store import Store
from cronq.times import Clock
from tests.integration.stores import config_in, select, store_in


def _first_use(config: Config, start: object, answers: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    with Store(config, Clock()) as store:
        answers.put(store.enqueue([NewJob("t")])[0].id)  # type: ignore[attr-defined]


def test_first_use_from_eight_processes_at_once(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(8), context.Queue()
    processes = [context.Process(target=_first_use, args=(config, start, answers)) for _ in range(8)]
    for process in processes:
        process.start()
    ids = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert sorted(ids) == list(range(1, 9))
    assert select(config, "PRAGMA journal_mode") == [("wal",)]
    assert select(config, "SELECT count(*) FROM cronq_schema") == [(1,)]


def test_upgrading_twice_changes_nothing_the_second_time(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    assert upgrade(config) == [f"{number:04}" for number in range(1, int(schema_version.CURRENT) + 1)]
    before = select(config, "SELECT sql FROM sqlite_master ORDER BY name")
    assert upgrade(config) == []
    assert select(config, "SELECT sql FROM sqlite_master ORDER BY name") == before


def test_the_migrations_make_what_the_schema_says(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    upgrade(config)
    engine = create_engine(config.database)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "version_table": "cronq_schema"})
        assert compare_metadata(context, tables("cronq_")) == []
    engine.dispose()


def test_the_newest_migration_is_the_one_that_is_asked_for() -> None:
    assert ScriptDirectory(str(Path(migrations.__file__).parent)).get_current_head() == schema_version.CURRENT


def test_tables_of_a_newer_cronq_are_refused(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    upgrade(config)
    select(config, "UPDATE cronq_schema SET version_num = '9999'")
    with pytest.raises(ConfigError, match=r"newer cronq \(revision 9999"):
        upgrade(config)
    with pytest.raises(ConfigError, match="upgrade cronq here"), Store(config, Clock()) as store:
        store.jobs.counts()
    with pytest.raises(ConfigError, match="upgrade cronq here"):
        anything_to_do(config, Clock())


def test_what_somebody_added_is_left_alone(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    upgrade(config)
    select(config, "ALTER TABLE cronq_jobs ADD COLUMN colour TEXT DEFAULT 'red'")
    select(config, "CREATE TABLE notes (text TEXT)")
    assert upgrade(config) == []
    with Store(config, Clock()) as store:
        (job,) = store.enqueue([NewJob("t")])
        assert store.jobs.get(job.id) is not None
    assert select(config, "SELECT colour FROM cronq_jobs") == [("red",)]
    assert select(config, "SELECT * FROM notes") == []


def test_two_prefixes_share_a_file(tmp_path: Path) -> None:
    with store_in(tmp_path) as one, store_in(tmp_path, table_prefix="other_") as two:
        one.enqueue([NewJob("a")] * 2)
        two.enqueue([NewJob("b")])
        assert [job.task for job in one.jobs.find(Selection())] == ["a", "a"]
        assert [job.task for job in two.jobs.find(Selection())] == ["b"]


# Jobs in a caller's transaction, before there are tables


def test_tables_are_made_before_a_transaction_has_begun(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    engine = create_engine(config.database)
    with Store(config, Clock()) as store:
        with engine.connect() as connection:
            store.enqueue_through(connection, [NewJob("t")])
            connection.rollback()
        assert store.jobs.ids(Selection()) == []
    engine.dispose()


def test_an_open_transaction_gets_an_error_and_no_tables(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    engine = create_engine(config.database)
    with Store(config, Clock()) as store, engine.connect() as connection:
        connection.execute(text("CREATE TABLE orders (id INTEGER)"))
        connection.execute(text("INSERT INTO orders VALUES (1)"))
        with pytest.raises(ConfigError, match="run `cronq update-schema` once before"):
            store.enqueue_through(connection, [NewJob("t")])
        connection.commit()
        assert select(config, "SELECT name FROM sqlite_master") == [("orders",)]
        store.enqueue_through(connection, [NewJob("t")])
        connection.commit()
        assert len(store.jobs.ids(Selection())) == 1
    engine.dispose()


def test_a_queue_from_before_gets_the_index_that_counts(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    upgrade(config)
    select(config, "DROP INDEX cronq_jobs_counted")
    select(config, "CREATE INDEX cronq_jobs_ended ON cronq_jobs (finished_at) WHERE finished_at IS NOT NULL")
    select(config, "UPDATE cronq_schema SET version_num = '0003'")
    assert "0004" in upgrade(config)
    assert select(config, "SELECT 1 FROM sqlite_master WHERE name = 'cronq_jobs_counted'") == [(1,)]


def test_a_queue_from_before_schedules_gets_their_tables(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    upgrade(config)
    for name in ("schedules", "declarations", "fires"):
        select(config, f"DROP TABLE cronq_{name}")
    for column in ("schedule", "scheduled_for"):
        select(config, f"ALTER TABLE cronq_jobs DROP COLUMN {column}")
    select(config, "UPDATE cronq_schema SET version_num = '0006'")
    assert upgrade(config)[0] == "0007"
    assert select(config, "SELECT count(*) FROM cronq_schedules, cronq_declarations, cronq_fires") == [(0,)]
    assert select(config, "SELECT schedule, scheduled_for FROM cronq_jobs") == []


def test_declarations_from_before_do_not_say_since_when(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    upgrade(config)
    select(config, "ALTER TABLE cronq_declarations DROP COLUMN declared_at")
    select(config, "INSERT INTO cronq_declarations VALUES ('web1', 'nightly', 'x', 'cronq.toml', 7)")
    select(config, "UPDATE cronq_schema SET version_num = '0010'")
    assert upgrade(config)[0] == "0011"
    assert select(config, "SELECT seen_at, declared_at FROM cronq_declarations") == [(7, None)]


def test_a_queue_from_before_flow_gets_its_tables(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    upgrade(config)
    before = select(config, "SELECT name FROM sqlite_master ORDER BY name")
    for name in ("edges", "loose_ends"):
        select(config, f"DROP TABLE cronq_{name}")
    select(config, "ALTER TABLE cronq_jobs DROP COLUMN flow")
    select(config, "UPDATE cronq_schema SET version_num = '0009'")
    assert upgrade(config)[0] == "0010"
    assert select(config, "SELECT name FROM sqlite_master ORDER BY name") == before


def test_attempts_from_before_their_worker_was_kept_get_its_columns(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    upgrade(config)
    before = select(config, "SELECT name FROM pragma_table_info('cronq_attempts') ORDER BY name")
    select(config, "ALTER TABLE cronq_attempts DROP COLUMN worker")
    select(config, "UPDATE cronq_schema SET version_num = '0011'")
    assert upgrade(config)[0] == "0012"
    assert select(config, "SELECT name FROM pragma_table_info('cronq_attempts') ORDER BY name") == before
