"""SQLite: the driver's own connection, waiting for locks, and what its errors mean.

The built-in busy handler starves waiters under load (its sleeps grow to 100 ms while the
lock is free every millisecond), so the connection's own timeout is 0 and every statement
that finds the database locked tries again after a short random pause.
"""

from __future__ import annotations

import os
import sqlite3
import time

from cronq.errors import Unavailable
from cronq.storage.drivers.database import Duplicate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Any, Self

    from cronq.storage.drivers.database import Row, T

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_PAUSE = (0.0002, 0.003)
_MINIMUM = (3, 35, 0)

IDENTITY = "PRAGMA database_list"
"""Rows with the paths of the files that a connection has open."""

_UNLESS_TWIN = " ON CONFLICT DO NOTHING"


class Inserting:
    """Puts rows into tables whose ids count up."""

    if TYPE_CHECKING:

        def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
            """One statement."""

    def insert(self, sql: str, row: Sequence[Any]) -> int:
        """Insert one row; returns its id."""
        return self.execute(sql, row).lastrowid  # type: ignore[return-value]

    def insert_unless_twin(self, sql: str, row: Sequence[Any]) -> int | None:
        """Insert one row; returns its id, None if a row has its unique key."""
        cursor = self.execute(sql + _UNLESS_TWIN, row)
        return cursor.lastrowid if cursor.rowcount else None


class Database(Inserting):
    """One connection to a SQLite file, opened at first use and reopened after `close`."""

    family = "sqlite"
    conflicts = 0

    def __init__(self, path: str, *, synchronous: str = "full", patience: float = 30.0) -> None:
        self.path = path
        self._synchronous = synchronous
        self._patience = patience
        self._opened: sqlite3.Connection | None = None

    def be_patient(self, seconds: float) -> None:
        """How long a statement may be tried again."""
        self._patience = seconds

    @property
    def connection(self) -> sqlite3.Connection:
        """The driver's connection, in autocommit mode."""
        if self._opened is None:
            self._opened = self._connect()
        return self._opened

    def close(self) -> None:
        """Close the connection; the next statement opens another one."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Rows of one statement in its own transaction."""
        return self._patiently(lambda: self.connection.execute(sql, parameters).fetchall())  # type: ignore[no-any-return]

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """One writing statement that commits by itself."""
        return self._patiently(self.connection.execute, sql, parameters)  # type: ignore[no-any-return]

    def insert(self, sql: str, row: Sequence[Any]) -> int:
        """Insert one row; returns its id."""
        return self._patiently(self.connection.execute, sql, row).lastrowid  # type: ignore[no-any-return]

    def write(self) -> Transaction:
        """A writing transaction: `with database.write() as tx: tx.execute(…)`."""
        return Transaction(self)

    def transact(self, work: Callable[[Transaction], T], landed: Callable[[], T | None] | None = None) -> T:  # noqa: ARG002 - a COMMIT's answer can't get lost
        """Do the work in a writing transaction."""
        with Transaction(self) as tx:
            return work(tx)

    def many(self, values: Iterable[Any]) -> str:
        """One parameter that stands for all of these values."""
        wanted = list(values)
        if len(wanted) == 1 and type(wanted[0]) is int:
            return f"[{wanted[0]}]"
        import json  # here, not above: neither a run with nothing to do nor a claim of one job needs it

        return json.dumps(wanted)

    def identity(self) -> list[str]:
        """The file, without symbolic links on its way."""
        return [os.path.realpath(self.path)]

    def lock(self, number: int) -> bool:
        """A file has no such locks; lock files take their place."""
        raise NotImplementedError(number)

    def has_other_writers(self) -> bool:
        """A file is one place."""
        return False

    def read_clock(self) -> None:
        """The file has no clock but the host's."""

    def has_table(self, name: str) -> bool:
        """Whether the table is there; False for a file that doesn't exist."""
        if not os.path.exists(self.path):  # noqa: PTH110 - pathlib costs 10 ms at start
            return False
        return bool(self.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)))

    def version(self, table: str) -> str | None:
        """The revision of the tables, as `table` has it; None where there is none yet."""
        found = self.query(f"SELECT version_num FROM {table}") if self.has_table(table) else []
        return found[0][0] if found else None

    def begin(self) -> None:
        """Take the write lock, waiting for it with short random pauses."""
        self._patiently(self.connection.execute, "BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make the transaction durable, or leave nothing of it."""
        try:
            self._patiently(self.connection.execute, "COMMIT")
        except BaseException:
            self.rollback()
            raise

    def rollback(self) -> None:
        """Undo the transaction, if SQLite hasn't done so by itself."""
        if self._opened is not None and self._opened.in_transaction:
            self._opened.execute("ROLLBACK")

    def unavailable(self, error: sqlite3.Error) -> Unavailable:
        """The error for a person: what is wrong with which file, and the way out."""
        return Unavailable(f"{self.path}: {_explain(self.path, error)}")

    def _connect(self) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < _MINIMUM:
            message = f"SQLite {sqlite3.sqlite_version} is too old: cronq needs 3.35 or later"
            raise Unavailable(message)
        try:
            connection = sqlite3.connect(
                self.path, timeout=0, isolation_level=None, cached_statements=64, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self.unavailable(error) from error
        self._patiently(connection.execute, f"PRAGMA synchronous = {self._synchronous}")
        return connection

    def _patiently(self, attempt: Callable[..., Any], *given: Any) -> Any:
        deadline = 0.0
        while True:
            try:
                return attempt(*given)
            except sqlite3.OperationalError as error:
                now = time.monotonic()
                deadline = deadline or now + self._patience
                if error.sqlite_errorcode & 0xFF not in _BUSY or now > deadline:
                    raise self.unavailable(error) from error
                time.sleep(_pause())
            except sqlite3.IntegrityError as error:
                raise Duplicate(str(error)) from error
            except sqlite3.DatabaseError as error:
                raise self.unavailable(error) from error


class Transaction(Inserting):
    """BEGIN IMMEDIATE … COMMIT; rolled back when the block raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> Self:
        self._database.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._database.commit()
            return
        self._database.rollback()
        if isinstance(error, sqlite3.IntegrityError):
            raise Duplicate(str(error)) from error
        if isinstance(error, sqlite3.Error):
            raise self._database.unavailable(error) from error

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Rows of one statement."""
        return self._database.connection.execute(sql, parameters).fetchall()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """One statement; the cursor has `rowcount` and `lastrowid`."""
        return self._database.connection.execute(sql, parameters)

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        """One statement for many rows of parameters; returns how many rows changed."""
        return self._database.connection.executemany(sql, rows).rowcount

    def insert_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Insert rows; returns their ids in order: this is the only writer, so they count up without gaps."""
        if not rows:
            return []
        self._database.connection.executemany(sql, rows)
        last = self.query("SELECT last_insert_rowid()")[0][0]
        return list(range(last - len(rows) + 1, last + 1))

    def insert_unless_twins(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """One by one is as quick here: nothing travels."""
        for row in rows:
            self.insert_unless_twin(sql, row)


def _pause() -> float:
    low, high = _PAUSE
    return low + (high - low) * int.from_bytes(os.urandom(2), "big") / 65536


_ADVICE = {
    sqlite3.SQLITE_READONLY: "read-only for this user: check the owner and mode of the file and its directory",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: restore a backup, or try `sqlite3 FILE .recover`",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite database",
    sqlite3.SQLITE_FULL: "the disk is full: nothing was written",
    sqlite3.SQLITE_BUSY: "another process has kept the database locked for too long",
    sqlite3.SQLITE_IOERR: "the disk or file system failed",
}


def _explain(path: str, error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_CANTOPEN:
        folder = os.path.dirname(path)  # noqa: PTH120 - as above
        if not os.path.isdir(folder):  # noqa: PTH112 - as above
            return f"the directory {folder} does not exist"
        return "the file can't be opened: check the owner and mode of the file and its directory"
    advice = _ADVICE.get(code)
    return f"{advice} ({error})" if advice else str(error)
