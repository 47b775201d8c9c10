"""Read a SQLite file that this user may not write. Write nothing, not even the files that SQLite puts beside it.

While another process has the file open, SQLite reads through that process's write-ahead log and its index,
which are opened read-only. Without a log, SQLite would make one, which would not belong to the file's owner,
or fail if it may not. So a file without a log is read as one that doesn't change, and read again if it was
changed meanwhile.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

from cronq.errors import Unavailable
from cronq.storage.drivers.sqlite_errors import explain
from cronq.storage.drivers.sqlite_limit import rows_within

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cronq.storage.drivers.database import Row

_PAUSE = 0.005
_THROUGH_THE_LOG = "mode=ro&readonly_shm=1"
_WITHOUT_A_LOG = "mode=ro&immutable=1"
_PASSES = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_BETWEEN = 2.0
"""Seconds during which a log without its index means that another process is opening or closing the file."""


class Database:
    """A SQLite file that is only read: each statement opens it again, and a writing one raises Unavailable."""

    family = "sqlite"
    conflicts = 0

    def __init__(self, path: str, *, patience: float = 30.0) -> None:
        self.path = path
        self._patience = patience
        self._limit: float | None = None

    def set_statement_limit(self, seconds: float) -> None:
        """Limit how long a `query` may take; one that takes longer raises TooSlow."""
        self._limit = seconds

    def set_patience(self, seconds: float) -> None:
        """Set for how long a statement is tried again."""
        self._patience = seconds

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Read the rows of one statement."""
        begun = time.monotonic()
        while True:
            before = self._look()
            try:
                rows = self._read(sql, parameters, has_log=before[0])
            except sqlite3.Error as error:
                waited = time.monotonic() - begun
                if waited > self._patience or not (self._look() != before or self._passes(error, waited)):
                    raise Unavailable(f"{self.path}: {explain(self.path, error)}") from error
                time.sleep(_PAUSE)
            else:
                if before[0] or self._look() == before:
                    return rows

    def _look(self) -> tuple[bool, int, int, int]:
        """Return whether there is a write-ahead log, and values that change when the file is written."""
        try:
            status = os.stat(self.path)  # noqa: PTH116 - as in sqlite.py
        except OSError:
            return False, 0, 0, 0
        return os.path.exists(f"{self.path}-wal"), status.st_ino, status.st_mtime_ns, status.st_size  # noqa: PTH110

    def _passes(self, error: sqlite3.Error, waited: float) -> bool:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        # Another process makes the log before its index, and may have made both since the error.
        return code in _PASSES or (code == sqlite3.SQLITE_CANTOPEN and self._look()[0] and waited < _BETWEEN)

    def _read(self, sql: str, parameters: Sequence[Any], *, has_log: bool) -> list[Row]:
        how = _THROUGH_THE_LOG if has_log else _WITHOUT_A_LOG
        with closing(sqlite3.connect(f"file:{quote(self.path)}?{how}", uri=True, timeout=0)) as connection:
            if self._limit is not None:
                return rows_within(self._limit, connection, sql, parameters)
            return connection.execute(sql, parameters).fetchall()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> NoReturn:
        """Raise Unavailable: this user may not write the file."""
        del sql, parameters
        self._refuse()

    def transact(self, work: object, read_back: object = None) -> NoReturn:
        """Raise Unavailable: this user may not write the file."""
        del work, read_back
        self._refuse()

    insert = insert_unless_twin = execute

    def _refuse(self) -> NoReturn:
        raise Unavailable(f"{self.path}: {explain(self.path, None)}")

    def many(self, values: Iterable[Any]) -> str:
        """Return these values as one parameter."""
        return json.dumps(list(values))

    def has_table(self, name: str) -> bool:
        """Tell whether the table exists."""
        return bool(self.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)))

    def version(self, table: str) -> str | None:
        """Return the revision of the tables that `table` contains, or None if there is none yet."""
        found = self.query(f"SELECT version_num FROM {table}") if self.has_table(table) else []
        return found[0][0] if found else None

    def identity(self) -> list[str]:
        """Return the path of the file with symbolic links resolved."""
        return [os.path.realpath(self.path)]

    def read_clock(self) -> None:
        """Return None: the host's clock is used."""

    def schema(self) -> None:
        """Return None: a file has one schema."""

    def lock(self, number: int) -> bool:
        """Raise NotImplementedError: nothing is written, so there is nothing to lock."""
        raise NotImplementedError(number)

    def has_other_writers(self) -> bool:
        """Return False: a file is on one host."""
        return False

    def is_replaced(self) -> bool:
        """Return False: each statement opens the current file."""
        return False

    def close(self) -> None:
        """Do nothing: no connection is open between two statements."""
