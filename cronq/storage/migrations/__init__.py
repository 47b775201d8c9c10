"""Make and upgrade the tables: an upgrade only adds, can be repeated after a crash, and runs alone."""

from __future__ import annotations

import logging
import os
import time
from binascii import crc32
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.config import Config as AlembicConfig
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateTable

from cronq.errors import ConfigError, TryLater, Unavailable
from cronq.locks import guard
from cronq.storage.drivers.database import Duplicate
from cronq.storage.drivers.opening import open_database, require_sight
from cronq.storage.schema import collation, tables
from cronq.storage.schema_version import is_current
from cronq.storage.sql.statements import Statements
from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Engine

    from cronq.config.loader import Config
    from cronq.storage.drivers.database import Database

_NO_RIGHTS = (1044, 1142, 1143, 1227, "42501")
"""The error codes by which servers report that a user lacks a privilege."""

_PATIENCE = 60.0
"""Seconds to wait for another upgrade."""

_DUTY = "schema"
_LONGEST = 600 * SECOND
"""Microseconds after which an upgrade counts as dead: another process of the cluster goes on with it."""


def upgrade(config: Config) -> list[str]:
    """Make or extend cronq's tables; returns the revisions that were applied, oldest first.

    Of two at once, the second waits for the first, and finds nothing to do. Nothing is ever dropped. Raises TryLater if
    another one takes longer than a minute, Unavailable if the database can't be opened or written, and ConfigError if
    the user lacks a privilege or a newer cronq made the tables.
    """
    try:
        _check_folder(config)
        with _alone(config) if config.database_file() is None else _alone_on_this_host(config):
            return [] if _is_current(config) else _upgrade(config)
    except DBAPIError as error:
        if _lacks_rights(error):
            message = "this user may not make cronq's tables or change them: run `cronq update-schema` as one who may"
            raise ConfigError(f"{config.safe_database()}: {message} ({_said(error)})") from error
        message = f"{config.safe_database()}: {_said(error)}"
        raise Unavailable(message) from error


def _is_current(config: Config) -> bool:
    """Tell whether the tables need no upgrade. Raises ConfigError if a newer cronq made them."""
    database = open_database(config)
    try:
        return is_current(database, config.table_prefix)
    finally:
        database.close()


def _lacks_rights(error: DBAPIError) -> bool:
    codes = (getattr(error.orig, "sqlstate", None), *getattr(error.orig, "args", ()))
    return any(code in codes for code in _NO_RIGHTS)


def _said(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0]


def _too_long() -> TryLater:
    return TryLater("another process has been changing the schema for a minute; try again later")


@contextmanager
def _alone_on_this_host(config: Config) -> Iterator[None]:
    from filelock import Timeout

    try:
        with guard(config, "schema", timeout=_PATIENCE) as lock:
            _leave_to_owner(config, lock.lock_file)
            yield
    except Timeout:
        raise _too_long() from None


def _leave_to_owner(config: Config, lock_file: str) -> None:
    """If root made the lock file and its directory for another user's database file, make that user their owner."""
    path = config.database_file()
    if os.geteuid() or path is None or not Path(path).exists():
        return
    owner = Path(path).stat()
    for place in (lock_file, config.lock_dir):
        if Path(place).stat().st_uid == 0:
            os.chown(place, owner.st_uid, owner.st_gid)


@contextmanager
def _alone(config: Config) -> Iterator[None]:
    """Hold a lock in the server, on a connection that is used for nothing else."""
    database = open_database(config)
    deadline = time.monotonic() + _PATIENCE
    number = crc32(f"{config.database_url().name} {config.table_prefix}".encode())
    try:
        _wait_for(lambda: database.lock(number), deadline)
        if database.has_other_writers():
            with _alone_in_cluster(config, database, deadline):
                yield
        else:
            yield
    finally:
        database.close()


@contextmanager
def _alone_in_cluster(config: Config, database: Database, deadline: float) -> Iterator[None]:
    """Hold a row of the leases: Galera's nodes share no locks, but of two that write one row only one succeeds."""
    sql = Statements(config.table_prefix, "mysql")
    engine = _engine(config)
    with engine.begin() as connection:
        metadata = tables(config.table_prefix, "mysql", collation=collation(connection))
        connection.execute(CreateTable(metadata.tables[sql.names.leases], if_not_exists=True))
    engine.dispose()
    holder = f"{os.uname().nodename}-{os.getpid()}-{os.urandom(3).hex()}"
    _wait_for(lambda: _take_lease(database, sql, holder), deadline)
    yield
    database.execute(sql.leader.leave, (_DUTY, holder))


def _take_lease(database: Database, sql: Statements, holder: str) -> bool:
    measured = database.read_clock()
    now = measured.instant if measured else 0
    until = now + _LONGEST
    if database.execute(sql.leader.take, (holder, until, _DUTY, holder, now)).rowcount:
        return True
    try:
        return bool(database.execute(sql.leader.first, (_DUTY, holder, until)).rowcount)
    except Duplicate:
        return False


def _wait_for(lock: Callable[[], bool], deadline: float) -> None:
    while not lock():
        if time.monotonic() > deadline:
            raise _too_long()
        time.sleep(0.05)


def _check_folder(config: Config) -> None:
    path = config.database_file()
    if path is None:
        return
    folder = Path(path).parent
    if config.origins.get("database") == "default":
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_sight(str(folder))
    if not folder.is_dir():
        message = f"{path}: the directory {folder} does not exist"
        raise Unavailable(message)


def _upgrade(config: Config) -> list[str]:
    logging.getLogger("alembic").setLevel(logging.WARNING)
    script = ScriptDirectory(str(Path(__file__).parent))
    applied: list[str] = []

    def steps(current: Any, _context: Any) -> Any:
        revisions = script._upgrade_revs("head", current)
        applied.extend(step.revision.revision for step in revisions)
        return revisions

    engine = _engine(config)
    try:
        with (
            EnvironmentContext(AlembicConfig(), script, fn=steps) as environment,
            engine.begin() as connection,
        ):
            connection.info["family"] = config.database_url().family
            _migrate(environment, connection, config.table_prefix)
    finally:
        engine.dispose()
    return applied


def _migrate(environment: EnvironmentContext, connection: Connection, prefix: str) -> None:
    connection.info["table_prefix"] = prefix
    environment.configure(connection=connection, version_table=f"{prefix}schema", transactional_ddl=False)
    environment.run_migrations()


def _engine(config: Config) -> Engine:
    return _ENGINES[config.database_url().family](config)


def _mysql_engine(config: Config) -> Engine:
    from cronq.storage.drivers import mysql

    connect = partial(mysql.connect, config.database_url())
    return create_engine("mysql+pymysql://", creator=connect, poolclass=NullPool)


def _postgresql_engine(config: Config) -> Engine:
    from cronq.storage.drivers import postgresql

    connect = partial(postgresql.connect, config.database_url(), autocommit=False)
    return create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)


def _sqlite_engine(config: Config) -> Engine:
    engine = create_engine(config.database, connect_args={"timeout": _PATIENCE, "isolation_level": None})

    @event.listens_for(engine, "connect")
    def _use_wal(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")

    @event.listens_for(engine, "begin")
    def _take_the_write_lock(connection: Connection) -> None:
        connection.execute(text("BEGIN IMMEDIATE"))

    return engine


_ENGINES = {"sqlite": _sqlite_engine, "mysql": _mysql_engine, "postgresql": _postgresql_engine}
