"""Stores on SQLite files, and statements on these behind the store's back."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from cronq.config.loader import Config, from_database
from cronq.store import Store
from cronq.times import Clock


def config_in(directory: Path, **values: object) -> Config:
    """A config for a queue in this directory, which has no tables yet."""
    return from_database(f"sqlite:///{directory}/queue.db").with_values("the test", **values)


def store_in(directory: Path, **values: object) -> Store:
    """A store on that queue."""
    return Store(config_in(directory, **values), Clock())


def select(config: Config, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """What a statement gives, on a connection of its own; changes are committed."""
    with contextlib.closing(sqlite3.connect(config.sqlite_path() or "")) as connection, connection:
        return connection.execute(sql, parameters).fetchall()
