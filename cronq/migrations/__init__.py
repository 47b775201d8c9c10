"""Bringing the schema up to date: additive, idempotent, one at a time."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.config import Config as AlembicConfig
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError

from cronq.errors import TryLater, Unavailable
from cronq.locks import guard

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from cronq.config import Config

_PATIENCE = 60.0
"""Seconds to wait for another upgrade."""


def upgrade(config: Config) -> list[str]:
    """Make or extend cronq's tables; returns the revisions that were applied, oldest first.

    Two at once wait for each other; the second finds nothing to do. Nothing is ever dropped.
    Raises TryLater when another one takes longer than a minute, Unavailable when the
    database can't be opened or written.
    """
    from filelock import Timeout

    try:
        _check_folder(config)
        with guard(config, "schema", timeout=_PATIENCE):
            return _upgrade(config)
    except Timeout:
        message = "another process has been changing the schema for a minute; try again later"
        raise TryLater(message) from None
    except DBAPIError as error:
        message = f"{config.safe_database()}: {error.orig}"
        raise Unavailable(message) from error


def _check_folder(config: Config) -> None:
    path = config.sqlite_path()
    if path is not None and config.origins.get("database") == "default":
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path is not None and not Path(path).parent.is_dir():
        message = f"{path}: the directory {Path(path).parent} does not exist"
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
            _migrate(environment, connection, config.table_prefix)
    finally:
        engine.dispose()
    return applied


def _migrate(environment: EnvironmentContext, connection: Connection, prefix: str) -> None:
    connection.info["table_prefix"] = prefix
    environment.configure(connection=connection, version_table=f"{prefix}schema", transactional_ddl=False)
    environment.run_migrations()


def _engine(config: Config) -> Engine:
    engine = create_engine(config.database, connect_args={"timeout": _PATIENCE, "isolation_level": None})

    @event.listens_for(engine, "connect")
    def _use_wal(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")

    @event.listens_for(engine, "begin")
    def _take_the_write_lock(connection: Connection) -> None:
        connection.execute(text("BEGIN IMMEDIATE"))

    return engine
