"""Tables on servers that an older or a newer cronq made, and users who may not change them."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from cronq.config.loader import Config, from_database
from cronq.errors import ConfigError
from cronq.storage import migrations
from cronq.storage.drivers.opening import open_database
from cronq.storage.idle_check import anything_to_do
from cronq.storage.migrations import upgrade
from cronq.storage.schema import tables
from cronq.storage.schema_version import CURRENT, is_current
from cronq.store import Store
from cronq.times import Clock
from tests import databases, servers
from tests.contract.steps import new, put

_numbers = itertools.count()


@pytest.fixture(scope="module", params=databases.KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    servers.require(request.param)
    return str(request.param)


def database_without_tables(kind: str, place: Path) -> Config:
    server = databases.shared(kind)
    name = f"schema{os.getpid()}n{next(_numbers)}"
    server.execute(f"CREATE DATABASE {name}")
    return from_database(server.url(name)).with_values("the test", lock_dir=str(place))


@pytest.fixture(scope="module")
def current(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A database with the tables of today, which a test leaves as they are: to make them takes longer than a test."""
    config = database_without_tables(kind, tmp_path_factory.mktemp("locks"))
    upgrade(config)
    return config


@pytest.fixture(scope="module")
def changing(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A database for tests that each make it old first."""
    return database_without_tables(kind, tmp_path_factory.mktemp("locks"))


def execute(config: Config, *statements: str) -> None:
    database = open_database(config)
    for statement in statements:
        database.execute(statement)
    database.close()


def as_of_the_first_revision(config: Config) -> None:
    upgrade(config)
    on = " ON cronq_jobs" if config.database_url().family == "mysql" else ""
    execute(
        config,
        f"DROP INDEX cronq_jobs_arrived{on}",
        "ALTER TABLE cronq_jobs DROP COLUMN enqueue_token",
        "DROP TABLE cronq_workers",
        "DROP TABLE cronq_leases",
        "DROP TABLE cronq_tails",
        "DROP TABLE cronq_troubles",
        *(f"DROP TABLE cronq_{name}" for name in ("schedules", "declarations", "fires", "runs", "actions")),
        "ALTER TABLE cronq_jobs DROP COLUMN schedule",
        "ALTER TABLE cronq_jobs DROP COLUMN scheduled_for",
        "UPDATE cronq_schema SET version_num = '0001'",
    )


def test_the_migrations_make_what_the_schema_says(current: Config) -> None:
    family = current.database_url().family
    engine = migrations._engine(current)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "cronq_schema", "compare_type": False})
        assert compare_metadata(context, tables("cronq_", family)) == []
    engine.dispose()


def test_older_tables_are_brought_up_to_date_at_first_use_by_who_may_change_them(changing: Config) -> None:
    as_of_the_first_revision(changing)
    user = restricted(changing)
    with pytest.raises(ConfigError, match="run `cronq update-schema` as one who may"), Store(user, Clock()) as store:
        store.jobs.counts()
    assert anything_to_do(changing, Clock())
    with Store(changing, Clock()) as store:
        (job,) = put(store, new())
        assert store.jobs.get(job) is not None
        assert store.workers.all() == []
        assert is_current(store._tables.database, "cronq_")
    assert upgrade(changing) == []


def test_an_upgrade_that_was_cut_off_is_finished(changing: Config) -> None:
    as_of_the_first_revision(changing)
    execute(changing, "ALTER TABLE cronq_jobs ADD COLUMN enqueue_token BIGINT")
    assert upgrade(changing)[-1] == CURRENT


def test_newer_tables_are_refused(current: Config) -> None:
    execute(current, "UPDATE cronq_schema SET version_num = '9999'")
    try:
        with pytest.raises(ConfigError, match="newer cronq"):
            upgrade(current)
        with pytest.raises(ConfigError, match="upgrade cronq here"), Store(current, Clock()) as store:
            store.jobs.counts()
    finally:
        execute(current, f"UPDATE cronq_schema SET version_num = '{CURRENT}'")


def restricted(config: Config) -> Config:
    """The same database as a user who may use the tables, but not change them."""
    name = config.database_url().name
    if config.database_url().family == "mysql":
        execute(
            config,
            f"CREATE USER '{name}'@'%' IDENTIFIED BY 'secret'",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO '{name}'@'%'",
        )
    else:
        execute(
            config,
            f"CREATE ROLE {name} LOGIN PASSWORD 'secret'",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}",
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name}",
        )
    user = config.database_url().username
    return config.with_values("the test", database=config.database.replace(f"{user}@", f"{name}:secret@"))


def test_who_may_not_change_tables_can_use_them(current: Config) -> None:
    user = restricted(current)
    assert not anything_to_do(user, Clock())
    with Store(user, Clock()) as store:
        put(store, new(), new(key="k", unique=True, group="g"))
        assert store.leader.hold("one", seconds=60)
