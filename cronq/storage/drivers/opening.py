"""Open the configured database."""

from __future__ import annotations

import os

from cronq.errors import ConfigError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.config.loader import Config
    from cronq.storage.drivers.database import Database

_PREFIX_NEEDED = (
    'table_prefix: "" can\'t be used on MySQL, where `groups` is a reserved word: give one, such as "cronq_"'
)


def open_database(config: Config, *, reading: bool = False) -> Database:
    """Return the configured database, which opens its connection at first use.

    For `reading`, a database file that this user may not write is opened read-only. Raises ConfigError if the driver
    isn't installed, or if `table_prefix` is empty on MySQL.
    """
    return _OPENERS[config.database_url().family](config, reading)


def _sqlite(config: Config, reading: bool) -> Database:  # noqa: FBT001 - as all openers
    path = config.database_url().name
    if reading and not may_write(path):
        from cronq.storage.drivers import sqlite_reading

        return sqlite_reading.Database(path, patience=config.patience)
    from cronq.storage.drivers import sqlite

    return sqlite.Database(path, synchronous=config.synchronous, patience=config.patience)


def _mysql(config: Config, _reading: bool) -> Database:  # noqa: FBT001 - as above
    if not config.table_prefix:
        raise ConfigError(_PREFIX_NEEDED)
    from cronq.storage.drivers import mysql

    return mysql.Database(config.database_url(), patience=config.patience)


def _postgresql(config: Config, _reading: bool) -> Database:  # noqa: FBT001 - as above
    from cronq.storage.drivers import postgresql

    return postgresql.Database(config.database_url(), patience=config.patience)


_OPENERS = {"sqlite": _sqlite, "mysql": _mysql, "postgresql": _postgresql}


def may_write(path: str) -> bool:
    """Tell whether this user may write a database file and make files beside it; True if there is no file yet."""
    if not os.path.exists(path):  # noqa: PTH110 - pathlib costs 10 ms
        return True
    return os.access(path, os.W_OK) and os.access(os.path.dirname(path), os.W_OK | os.X_OK)  # noqa: PTH120


def require_sight(path: str) -> None:
    """Raise Unavailable if this user may not check whether the file exists."""
    try:
        os.stat(path)  # noqa: PTH116 - as above
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        from cronq.config.owners import owner_of

        owner = owner_of(os.path.dirname(path))  # noqa: PTH120
        whose = f", its directory belongs to {owner}" if owner else ""
        raise Unavailable(f"{path}: {error.strerror}{whose}") from error
