"""Opens the database that the configuration names."""

from __future__ import annotations

from cronq.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.config.loader import Config
    from cronq.storage.drivers.database import Database

_PREFIX_NEEDED = (
    'table_prefix: "" can\'t be used on MySQL, where `groups` is a reserved word: give one, such as "cronq_"'
)


def open_database(config: Config) -> Database:
    """The database of the config. Raises Unavailable where the driver for it isn't installed."""
    path = config.sqlite_path()
    if path is not None:
        from cronq.storage.drivers import sqlite

        return sqlite.Database(path, synchronous=config.synchronous, patience=config.patience)
    url = config.database_url()
    if url.family == "mysql":
        if not config.table_prefix:
            raise ConfigError(_PREFIX_NEEDED)
        from cronq.storage.drivers import mysql

        return mysql.Database(url, patience=config.patience)
    from cronq.storage.drivers import postgresql

    return postgresql.Database(url, patience=config.patience)
