"""Access SQLite through `sqlite3`: wait for locks, and classify errors.

The built-in busy handler starves waiters under load (its sleeps grow to 100 ms while the
lock is free every millisecond), so the connection's own timeout is 0 and every statement
that finds the database locked tries again after a short random pause.
"""

from __future__ import annotations

import _sqlite3 as sqlite3  # importing sqlite3 takes a millisecond more, for its adapters of dates
import atexit
import os
import time
from _thread import _count as other_threads

from cronq.errors import ConfigError, InvalidInput, Unavailable
from cronq.storage.drivers import forks
from cronq.storage.drivers.connections import HANDLER_PATIENCE, HELD, Connections, calls_below
from cronq.storage.drivers.database import Duplicate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from cronq.storage.drivers.database import Row, T

    _Files = tuple[int, int]
    _Action = Callable[[Any, str, Sequence[Any]], Any]

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_PAUSE = (0.0002, 0.003)
_MINIMUM = (3, 35, 0)

_LOOK = 1.0
"""Seconds between two checks whether the file is still the open one."""

_UNDECODABLE = "Could not decode to UTF-8"  # in the driver's error, which has no code

_GONE = -1
_NO_FILES = (0, 0)

IDENTITY = "PRAGMA database_list"
"""The statement that returns the paths of the files that a connection has open."""

_UNLESS_TWIN = " ON CONFLICT DO NOTHING"


class Inserting:
    """Inserts rows into tables whose ids count up."""

    if TYPE_CHECKING:

        def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
            """Execute one statement."""

    def insert(self, sql: str, row: Sequence[Any]) -> int:
        """Insert one row; returns its id."""
        return self.execute(sql, row).lastrowid  # type: ignore[return-value]

    def insert_unless_twin(self, sql: str, row: Sequence[Any]) -> int | None:
        """Insert one row; returns its id, or None if another row has its unique key."""
        cursor = self.execute(sql + _UNLESS_TWIN, row)
        return cursor.lastrowid if cursor.rowcount else None


class Database(Inserting):
    """A SQLite file: connections are opened at first use and reopened after `close`."""

    family = "sqlite"
    conflicts = 0

    def __init__(self, path: str, *, synchronous: str = "full", patience: float = 30.0) -> None:
        self.path = path
        self._synchronous = synchronous
        self._patience = patience
        self._connections = Connections(self._connect)
        # Bound here too: looking them up in `_connections` for each job would take longer.
        self._idle, self._broken, self._lock = self._connections.idle, self._connections.broken, self._connections.lock

        self._files = _NO_FILES
        self._look_at = 0.0
        self._overwritten = False
        self._rows: _Action = _rows
        self._text: Any = str  # the fastest decoder, until a text is read that isn't UTF-8

    def set_patience(self, seconds: float) -> None:
        """Set for how long a statement is tried again."""
        self._patience = seconds

    def set_statement_limit(self, seconds: float) -> None:
        """Limit how long a `query` may take; one that takes longer raises TooSlow."""
        from cronq.storage.drivers.sqlite_limit import limited  # here, not above: only the pages have a limit

        self._rows = limited(seconds)

    def is_replaced(self) -> bool:
        """Tell whether the file was moved, removed or replaced since it was opened; checked once a second.

        The next statement opens the file that is at the path now.
        """
        now = time.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK
        files, there = self._files if self._idle else _NO_FILES, _files(self.path)
        self._files = there
        if not _differ(files, there):
            for connection in self._idle:
                connection.files = there  # the first statement has made the log
            return False
        self.close()
        self._overwritten = self._overwritten or files[0] == there[0]
        from cronq.system.log import log  # here, not above: a run with nothing to do needs no log

        log.warning("%s was moved, removed or replaced while it was open: what is there now is opened", self.path)
        return True

    def close(self) -> None:
        """Close the connections; the next statement opens another one."""
        self._connections.close()
        self._files = _NO_FILES

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Read the rows of one statement in its own transaction."""
        return self._call(self._rows, sql, parameters)  # type: ignore[no-any-return]

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Execute one writing statement that commits by itself."""
        return self._call(sqlite3.Connection.execute, sql, parameters)  # type: ignore[no-any-return]

    def insert(self, sql: str, row: Sequence[Any]) -> int:
        """Insert one row; returns its id."""
        return self._call(sqlite3.Connection.execute, sql, row).lastrowid  # type: ignore[no-any-return]

    def transact(self, work: Callable[[Transaction], T], read_back: Callable[[], T | None] | None = None) -> T:  # noqa: ARG002 - a COMMIT's answer can't get lost
        """Call `work` in a writing transaction and return its result. An exception rolls it back."""
        return self._patiently(lambda: self._attempt(work))  # type: ignore[no-any-return]

    def _attempt(self, work: Callable[[Transaction], T]) -> T:
        with self._lock:  # from BEGIN to COMMIT, so that no fork comes in between
            connection = self._connections.take()
            try:
                connection.execute("BEGIN IMMEDIATE")
                result = work(Transaction(connection))
                connection.execute("COMMIT")
            except BaseException:
                self._broken.append(connection)  # first, because what follows can be interrupted too
                self._connections.put_right(connection)
                raise
            self._idle.append(connection)
            return result

    def many(self, values: Iterable[Any]) -> str:
        """Return these values as one parameter, in JSON."""
        wanted = list(values)
        if len(wanted) == 1 and type(wanted[0]) is int:
            return f"[{wanted[0]}]"
        import json  # here, not above: neither a run with nothing to do nor a claim of one job needs it

        return json.dumps(wanted)

    def identity(self) -> list[str]:
        """Return the path of the file with symbolic links resolved."""
        return [os.path.realpath(self.path)]

    def schema(self) -> None:
        """Return None: a file has one schema."""

    def lock(self, number: int) -> bool:
        """Raise NotImplementedError: lock files are used instead."""
        raise NotImplementedError(number)

    def has_other_writers(self) -> bool:
        """Return False: a file is on one host."""
        return False

    def read_clock(self) -> None:
        """Return None: the host's clock is used."""

    def has_table(self, name: str) -> bool:
        """Tell whether the table exists; False for a missing file."""
        if not os.path.exists(self.path):  # noqa: PTH110 - pathlib costs 10 ms at start
            return False
        return bool(self.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)))

    def version(self, table: str) -> str | None:
        """Return the revision of the tables that `table` contains, or None if there is none yet."""
        found = self.query(f"SELECT version_num FROM {table}") if self.has_table(table) else []
        return found[0][0] if found else None

    def unavailable(self, error: sqlite3.Error) -> Unavailable:
        """Return the error with the file's path, what is wrong with it, and what to do."""
        from cronq.storage.drivers.sqlite_errors import explain  # here, not above: this is rare

        return Unavailable(f"{self.path}: {explain(self.path, error)}")

    def _connect(self) -> sqlite3.Connection:
        if tuple(map(int, sqlite3.sqlite_version.split("."))) < _MINIMUM:
            message = f"SQLite {sqlite3.sqlite_version} is too old: cronq needs 3.35 or later"
            raise Unavailable(message)
        if self._overwritten:  # SQLite would go on with cached pages of the old file
            message = f"{self.path} was overwritten while it was open: end this process and start it again"
            raise Unavailable(message)
        try:
            with self._lock:
                connection = sqlite3.connect(
                    self.path,
                    timeout=0,
                    isolation_level=None,
                    cached_statements=64,
                    check_same_thread=False,
                    factory=_Connection,
                )
        except sqlite3.Error as error:
            raise self.unavailable(error) from error
        connection.lock, connection.pid = self._lock, os.getpid()
        # Not its log: SQLite opens that with the first statement, and until then another process may remove it.
        self._files = connection.files = (_inode(self.path), 0)
        connection.path, connection.text_factory = self.path, self._text
        _require_one_name(self.path)
        setting = f"PRAGMA synchronous = {self._synchronous}"
        self._patiently(lambda: self._locked(sqlite3.Connection.execute, connection, setting, ()))
        return connection

    def _call(self, action: _Action, sql: str, parameters: Sequence[Any]) -> Any:
        """Execute one statement on a connection that only this call uses."""
        connection = self._connections.take()
        try:
            try:
                if other_threads():
                    with self._lock:
                        result = action(connection, sql, parameters)
                else:  # no other thread can fork meanwhile, and taking a lock takes longer than anything else here
                    result = action(connection, sql, parameters)
            except sqlite3.Error:  # mostly because of another writer: nothing is written yet
                result = self._patiently(lambda: self._locked(action, connection, sql, parameters))
        except BaseException:
            self._broken.append(connection)  # first, because what follows can be interrupted too
            self._connections.put_right(connection)
            raise
        self._idle.append(connection)
        return result

    def _locked(self, action: _Action, connection: _Connection, sql: str, parameters: Sequence[Any]) -> Any:
        with self._lock:
            connection.text_factory = self._text
            return action(connection, sql, parameters)

    def _patiently(self, attempt: Callable[[], Any]) -> Any:
        waiting = None
        while True:
            try:
                return attempt()
            except sqlite3.Error as error:
                if _UNDECODABLE in str(error) and self._text is str:
                    self._read_damaged_text()
                    continue
                if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _BUSY:
                    raise self._translated(error) from error
                waiting = waiting or self._waiting(error)
                waiting.pause()

    def _read_damaged_text(self) -> None:
        """Read bytes that aren't UTF-8 as escapes from now on; otherwise one such row would make a query fail."""
        self._text = _readable
        for connection in self._idle:
            connection.text_factory = _readable

    def _translated(self, error: sqlite3.Error) -> Exception:
        if isinstance(error, sqlite3.IntegrityError):
            return Duplicate(str(error))
        if isinstance(error, sqlite3.DataError):
            return InvalidInput(f"larger than SQLite takes ({error})")
        return self.unavailable(error)

    def _waiting(self, error: sqlite3.Error) -> _Waiting:
        if calls_below(_CALLS, self) > 1:
            return _Waiting(min(self._patience, HANDLER_PATIENCE), Unavailable(f"{self.path}: {HELD}"))
        return _Waiting(self._patience, self.unavailable(error))


class _Waiting:
    """Sleeps for short random times up to a deadline; then raises the reason."""

    def __init__(self, patience: float, reason: Exception) -> None:
        self._deadline = time.monotonic() + patience
        self._reason = reason

    def pause(self) -> None:
        """Sleep a moment; raise the reason after the deadline."""
        if time.monotonic() > self._deadline:
            raise self._reason
        low, high = _PAUSE
        time.sleep(low + (high - low) * int.from_bytes(os.urandom(2), "big") / 65536)


class Transaction(Inserting):
    """The statements between BEGIN IMMEDIATE and COMMIT."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Read the rows of one statement."""
        return self._connection.execute(sql, parameters).fetchall()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Execute one statement; the cursor has `rowcount` and `lastrowid`."""
        return self._connection.execute(sql, parameters)

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        """Execute one statement for each row of parameters; returns the number of rows inserted or matched."""
        return self._connection.executemany(sql, rows).rowcount

    def insert_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Insert rows; returns their ids in the order of the rows: with one writer they count up without gaps."""
        if not rows:
            return []
        self.execute_many(sql, rows)
        last = self.query("SELECT last_insert_rowid()")[0][0]
        return list(range(last - len(rows) + 1, last + 1))

    def insert_unless_twins(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Insert those rows whose unique keys no other row has, one by one, which is as fast without a server."""
        for row in rows:
            self.insert_unless_twin(sql, row)


class _Connection(sqlite3.Connection):
    """The driver's connection, in autocommit mode; closed under the lock, and only by the process that opened it."""

    pid = 0
    lock: Any
    path = ""
    files: _Files = (0, 0)

    def undo(self) -> bool:
        """Roll back an open transaction; returns False if that fails."""
        try:
            with self.lock:
                if self.in_transaction:
                    self.execute("ROLLBACK")
        except sqlite3.Error:
            return False
        return True

    def close(self) -> None:
        if self.keep_replaced():
            return
        with self.lock:
            super().close()
        self.pid = 0

    def keep_replaced(self) -> bool:
        """Keep it open for ever if its file was replaced; returns whether it was.

        If it were closed, SQLite would remove the write-ahead log that is at the path now.
        """
        if not _differ(self.files, _files(self.path)):
            return False
        import ctypes  # here, not above: this is rare

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))  # not even the interpreter's end may close it
        self.pid = 0
        return True

    def drop_inherited(self) -> None:
        """Close it in a process that inherited it, unless the thread that forked was in the middle of a transaction."""
        if self.in_transaction:
            forks.inherited.append(self)
        else:
            self.close()

    # Bound here, because at the interpreter's end the modules' names are gone before the last connection.
    def __del__(self, getpid: Callable[[], int] = os.getpid) -> None:
        if self.pid == getpid():
            self.close()
        elif self.pid:
            self.drop_inherited()


def _readable(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")


def _files(path: str) -> _Files:
    """Return the inodes of the database and of its write-ahead log: -1 if missing, 0 if it can't be examined."""
    return _inode(path), _inode(f"{path}-wal")


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino  # noqa: PTH116 - as above
    except FileNotFoundError:
        return _GONE
    except OSError:
        return 0


def _differ(before: _Files, now: _Files) -> bool:
    """Tell whether one of the files was replaced or removed."""
    return any(old > 0 and new not in {old, 0} for old, new in zip(before, now, strict=True))


def _require_one_name(path: str) -> None:
    """Raise ConfigError for a file with several names (hard links).

    SQLite would use a write-ahead log for each name, and damage the file.
    """
    try:
        names = os.stat(path).st_nlink  # noqa: PTH116 - as above
    except OSError:
        return
    if names > 1:
        message = (
            f"{path}: the file has {names} names (hard links), and SQLite would damage it: remove the others"
            f" (`find / -xdev -samefile {path}` lists them), or replace the file by a copy"
        )
        raise ConfigError(message)


_CALLS = (Database._call.__code__, Database.transact.__code__)


@atexit.register
def _keep_replaced() -> None:
    """Keep connections to replaced files open while `ctypes` can be imported: their `__del__` is called too late."""
    for one in forks.living():
        for connection in (*one.idle, *one.broken):
            if isinstance(connection, _Connection) and connection.pid == os.getpid():
                connection.keep_replaced()


def _rows(connection: sqlite3.Connection, sql: str, parameters: Sequence[Any]) -> list[Row]:
    return connection.execute(sql, parameters).fetchall()
