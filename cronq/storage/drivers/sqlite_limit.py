"""Interrupt a statement of SQLite that takes too long."""

from __future__ import annotations

import sqlite3
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from cronq.errors import TooSlow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronq.storage.drivers.database import Row

_STEPS = 10_000
"""Instructions of SQLite's virtual machine between two readings of the clock: less than a millisecond."""


def limited(seconds: float) -> Callable[[sqlite3.Connection, str, Sequence[Any]], list[Row]]:
    """Return a function that reads the rows of one statement, and raises TooSlow after `seconds`."""
    return partial(rows_within, seconds)


def rows_within(seconds: float, connection: sqlite3.Connection, sql: str, parameters: Sequence[Any]) -> list[Row]:
    """Read the rows of one statement. Raises TooSlow after `seconds`."""
    until = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    try:
        return connection.execute(sql, parameters).fetchall()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
            raise TooSlow.after(seconds) from error
        raise
    finally:
        connection.set_progress_handler(None, 0)
