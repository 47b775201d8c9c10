"""Define the base of the drivers for servers: lost connections, conflicts, many rows in one statement.

A statement that met a deadlock, a lock that took too long or a lost connection is tried again
after a short random pause, until the patience is over. A transaction is repeated from its start.
If the answer to a COMMIT got lost, the caller's `read_back` checks whether it happened.
"""

from __future__ import annotations

import json
import os
import time

from cronq.errors import ConfigError, InvalidInput, TooSlow, Unavailable
from cronq.storage.drivers.connections import HANDLER_PATIENCE, HELD, Connections, calls_below
from cronq.storage.drivers.database import GONE, Conflict, Duplicate, Missing
from cronq.storage.drivers.interruption import raise_interruption
from cronq.storage.drivers.session import Session
from cronq.times import Measured, ticks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, Protocol

    from cronq.config.database_url import DatabaseURL
    from cronq.storage.drivers.database import Row, T

    class Cursor(Protocol):
        """A driver's cursor after a statement."""

        rowcount: int
        lastrowid: int

        def fetchall(self) -> Sequence[Row]:
            """Return the rows of a query."""


CALL_LIMIT = 30
"""Seconds that one call to the server may take."""

CONNECT_LIMIT = 10
LOCK_LIMIT = 5
"""Seconds to connect, and to wait for a row lock of another transaction."""

STANDSTILL_LIMIT = 10
"""Seconds that a transaction may be idle; after them the server rolls it back, and frees its locks."""

_IDLE = 5.0
"""Seconds without use after which a connection is checked before its next use."""

_PAUSES = {"again": (0.001, 0.05), "lost": (0.02, 1.0)}
"""Seconds before the second try, and at most; each further pause is twice as long."""

IDENTITIES = {
    "mysql": "SELECT DATABASE(), @@hostname, @@port, @@datadir",
    "postgresql": "SELECT current_database(), pg_postmaster_start_time(), current_setting('port')",
}
"""Statements that identify a database."""

_CHARACTERS_AT_ONCE = 1 << 20

_READINGS = 3
_SURE = 20_000
"""The server's clock is read up to `_READINGS` times, until it is known within `_SURE` microseconds."""

_THIS_HOST = ("", "localhost", "127.0.0.1", "::1")

DUPLICATE, AGAIN, LOST, REFUSED, TOO_LARGE, MISSING = "duplicate", "again", "lost", "refused", "too large", "missing"
"""The meanings of errors: a row with this unique key exists; a temporary conflict; a lost server; a permanent error;
bad input; no such table."""


class _CommitUnknown(Exception):
    """The answer to a COMMIT got lost."""


class Server:
    """A database on a server, with a connection that is opened at first use, and again after `close` or a loss."""

    family: str
    errors: tuple[type[Exception], ...]
    """The classes of the driver's errors."""

    def __init__(self, url: DatabaseURL, *, patience: float = 30.0) -> None:
        self.url = url
        self._patience = patience
        self._limit: float | None = None
        self._connections = Connections(self._connect)
        self._texts: dict[Any, str] = {}
        self.conflicts = 0

    # Implemented for each driver

    def connect(self) -> Any:
        """Open a connection of the driver, in autocommit mode."""
        raise NotImplementedError

    def run(self, connection: Any, sql: str, parameters: Sequence[Any]) -> Cursor:
        """Execute one statement with the driver's placeholders."""
        raise NotImplementedError

    def is_there(self, connection: Any) -> bool:
        """Tell whether the server still has the connection."""
        raise NotImplementedError

    def is_in_transaction(self, connection: Any) -> bool:
        """Tell whether a transaction is open on the connection, as far as the driver knows."""
        raise NotImplementedError

    def is_answer(self, error: Exception) -> bool:
        """Tell whether the error is a complete answer of the server, after which the connection can be used again."""
        raise NotImplementedError

    def meaning(self, error: Exception) -> str:
        """Return the meaning of the driver's error by its code: one of DUPLICATE to MISSING."""
        raise NotImplementedError

    def advice(self, error: Exception) -> str:
        """Return the error's message, with what to do about it if that is known."""
        raise NotImplementedError

    def for_each(self, sql: str, kinds: str) -> str:
        """Return the UPDATE for many rows of parameters, which are one JSON array of arrays; see `text_for_each`."""
        raise NotImplementedError

    def insert(self, sql: str, row: Sequence[Any]) -> int:
        """Insert one row that commits by itself; returns its id. Raises Duplicate."""
        return self._patiently(lambda session: self.inserted(session, sql, [row])[0])

    def insert_unless_twin(self, sql: str, row: Sequence[Any]) -> int | None:
        """Insert one row; returns its id, or None if another row has its unique key."""
        return self._patiently(lambda session: self.inserted_unless_twin(session, sql, row))

    def inserted(self, session: Session, sql: str, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Insert rows with one statement; returns their ids in the order of the rows."""
        raise NotImplementedError

    def inserted_unless_twin(self, session: Session, sql: str, row: Sequence[Any]) -> int | None:
        """Insert one row; returns its id, or None if another row has its unique key."""
        raise NotImplementedError

    def unless_twins(self, sql: str) -> str:
        """Return the INSERT that leaves out rows whose unique keys exist."""
        raise NotImplementedError

    # The same for all

    def many(self, values: Iterable[Any]) -> list[Any]:
        """Return these values, at least one, as one parameter."""
        return list(values)

    def set_patience(self, seconds: float) -> None:
        """Set for how long a statement is tried again."""
        self._patience = seconds

    def close(self) -> None:
        """Close the connections; the next statement opens another one."""
        self._connections.close()

    def is_replaced(self) -> bool:
        """Return False: a server that is replaced loses its connections."""
        return False

    def identity(self) -> Sequence[Any]:
        """Return the values that identify this database."""
        return self.query(IDENTITIES[self.family])[0]

    def schema(self) -> str | None:
        """Return the schema that holds the tables, or None where a database has only one."""
        return None

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Read the rows of one statement in its own transaction."""
        return self._patiently(lambda session: session.query(sql, parameters))

    def version(self, table: str) -> str | None:
        """Return the revision of the tables that `table` contains, or None if there is none yet."""
        try:
            found = self.query(f"SELECT version_num FROM {table}")
        except Missing:
            return None
        return found[0][0] if found else None

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        """Execute one writing statement that commits by itself; it must be safe to do twice."""
        return self._patiently(lambda session: session.execute(sql, parameters))

    def transact(self, work: Callable[[Session], T], read_back: Callable[[], T | None] | None = None) -> T:
        """Call `work` in a transaction and return its result; repeat it after a conflict with a concurrent one."""
        return self._patiently(lambda session: self._attempt(session, work), read_back=read_back)

    def text(self, sql: str) -> str:
        """Return the statement with the driver's placeholders."""
        text = self._texts.get(sql)
        if text is None:
            text = self._texts[sql] = driver_text(sql)
        return text

    def text_for_each(self, sql: str, kinds: str) -> str:
        """Return the UPDATE for many rows of parameters; `kinds` has one letter for the type of each parameter."""
        text = self._texts.get((sql, kinds))
        if text is None:
            text = self._texts[sql, kinds] = self.for_each(sql, kinds)
        return text

    def characters_at_once(self, connection: Any) -> int:  # noqa: ARG002 - it depends on the server elsewhere
        """Return the most characters that a statement for many rows may have."""
        return _CHARACTERS_AT_ONCE

    def array(self, rows: Sequence[Sequence[Any]]) -> str:
        """Return the rows as JSON."""
        return json.dumps(rows, ensure_ascii=False)

    def _attempt(self, session: Session, work: Callable[[Session], T]) -> T:
        session.begin()
        result = work(session)
        try:
            session.commit()
        except self.errors as error:
            if self.meaning(error) == LOST:
                raise _CommitUnknown(*error.args) from error
            raise
        return result

    # Patience

    def _patiently(self, attempt: Callable[[Session], T], *, read_back: Callable[[], T | None] | None = None) -> T:
        waiting = _Waiting(self._patience)
        while True:
            try:
                return self._once(attempt)
            except _CommitUnknown as error:
                self.close()
                raise_interruption(error)
                found = read_back() if read_back else None
                if found is not None:
                    return found
                waiting.pause("lost", self._unavailable(error))
            except Conflict as error:
                self.conflicts += 1
                waiting.pause("again", Unavailable(f"{self._name}: other runners kept changing the same jobs: {error}"))
            except ConfigError as error:
                raise_interruption(error)
                raise
            except self.errors as error:
                if not self.is_answer(error):
                    raise_interruption(error)
                self._raise_or_pause(error, waiting)

    def _once(self, attempt: Callable[[Session], T]) -> T:
        """Call `attempt` once, on a connection that only this call uses."""
        session = self._session()
        try:
            result = attempt(session)
        except BaseException:
            self._connections.broken.append(session)  # first, because what follows can be interrupted too
            self._connections.put_right(session)
            raise
        session.used = time.monotonic()
        self._connections.idle.append(session)
        return result

    def _session(self) -> Session:
        session: Session = self._connections.take()
        while time.monotonic() - session.used > _IDLE and not self.is_there(session.connection):
            session.close()
            session = self._connections.take()
        return session

    def _connect(self) -> Session:
        session = Session(self, self.connect())
        if self._limit is not None:
            session.run(self.limiting(self._limit), ())
        return session

    def set_statement_limit(self, seconds: float) -> None:
        """Limit how long a statement may take on connections opened from now on; a longer one raises TooSlow."""
        self._limit = seconds

    def limiting(self, seconds: float) -> str:
        """Return the statement that makes the server end later statements after `seconds`."""
        raise NotImplementedError

    def is_limit(self, error: Exception) -> bool:
        """Tell whether the server ended a statement because of its limit."""
        raise NotImplementedError

    def _raise_or_pause(self, error: Exception, waiting: _Waiting) -> None:
        """Sleep a moment after a temporary error; raise any other as an error of cronq."""
        if self._limit is not None and self.is_limit(error):
            raise TooSlow.after(self._limit) from error
        meaning = self.meaning(error)
        if meaning == DUPLICATE:
            raise Duplicate(str(error)) from error
        if meaning == MISSING:
            raise Missing(f"{self._name}: {GONE} ({self.advice(error)})") from error
        if meaning == TOO_LARGE:
            raise InvalidInput(self.advice(error)) from error
        if meaning == LOST:
            self.close()
        elif meaning == AGAIN:
            self.conflicts += 1
            if calls_below(_CALLS, self):
                waiting.limit(HANDLER_PATIENCE, Unavailable(f"{self._name}: {HELD}"))
        else:
            raise self._unavailable(error) from error
        waiting.pause(meaning, self._unavailable(error))

    @property
    def _name(self) -> str:
        port = f":{self.url.port}" if self.url.port else ""
        return f"{self.url.scheme}://{self.url.host}{port}/{self.url.name}"

    def _unavailable(self, error: Exception) -> Unavailable:
        return Unavailable(f"{self._name}: {self.advice(error)}")


_CALLS = (Server._once.__code__,)


class _Waiting:
    """Sleeps for random times that grow, up to a deadline."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._deadline = 0.0
        self._tries = 0
        self._reason: Exception | None = None

    def limit(self, seconds: float, reason: Exception) -> None:
        """Wait no longer than `seconds`; at their end, raise `reason`."""
        self._patience = min(self._patience, seconds)
        self._reason = reason

    def pause(self, meaning: str, reason: Exception) -> None:
        """Sleep a moment; raise `reason`, or that of `limit`, when the patience is over."""
        now = time.monotonic()
        self._deadline = self._deadline or now + self._patience
        if now > self._deadline:
            raise self._reason or reason
        shortest, longest = _PAUSES[meaning]
        self._tries += 1
        time.sleep(min(longest, shortest * 2**self._tries) * (0.5 + int.from_bytes(os.urandom(2), "big") / 131072))


def driver_text(sql: str) -> str:
    """Return the statement with the drivers' placeholders."""
    return sql.replace("%", "%%").replace("?", "%s")


def numbered(sql: str, kinds: str) -> str:
    """Return the statement with r.c0, r.c1, … for its parameters, and NULL for those that are None in all rows."""
    first, *rest = sql.split("?")
    columns = ("NULL" if kind == "n" else f"r.c{number}" for number, kind in enumerate(kinds))
    return first + "".join(column + part for column, part in zip(columns, rest, strict=True))


def on_this_host(url: DatabaseURL) -> bool:
    """Tell whether the server is on this host, so that no other host can read the connection."""
    host = url.host.strip("[]").lower()
    return "unix_socket" in url.query or host in _THIS_HOST or host.startswith("/")


def measured(database: Server, sql: str) -> Measured:
    """Read the server's clock with `sql`, corrected by half a round trip; a slow reading is repeated."""
    best: Measured | None = None
    for _ in range(_READINGS):
        before = ticks()
        instant = database.query(sql)[0][0]
        half = (ticks() - before) // 2
        if best is None or half < best.within:
            best = Measured(instant, at=before + half, within=half)
        if best.within < _SURE:
            break
    assert best is not None
    return best


def unknown_options(unknown: str, known: Sequence[str]) -> ConfigError:
    """Return the error for unknown options in the database's URL."""
    return ConfigError(f"database: unknown option {unknown} in the URL, known are {', '.join(known)}")
