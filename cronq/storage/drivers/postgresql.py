"""Access PostgreSQL through psycopg: make session settings uniform, and classify errors by their codes."""

from __future__ import annotations

from cronq.errors import ConfigError
from cronq.storage.drivers import server
from cronq.storage.drivers.notify import returning_id
from cronq.storage.drivers.server import (
    AGAIN,
    DUPLICATE,
    LOST,
    MISSING,
    REFUSED,
    TOO_LARGE,
    Server,
    numbered,
)
from cronq.storage.drivers.session import many_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from cronq.config.database_url import DatabaseURL
    from cronq.storage.drivers.session import Session
    from cronq.times import Measured

try:
    import psycopg
    from psycopg.pq import TransactionStatus
except ImportError:
    message = "PostgreSQL needs a driver: pip install 'cronq-jobs[postgresql]'"
    raise ConfigError(message) from None

_TYPES = {"b": "boolean", "i": "bigint", "f": "double precision", "s": "text"}
_ROWS_AT_MOST = 1_000_000
_UNLESS_TWIN = " ON CONFLICT DO NOTHING"
_MILLISECONDS = 1000

_MEANINGS = {
    "23505": DUPLICATE,
    "42P01": MISSING,
    # A serialisation failure, a deadlock, a lock that took too long.
    **dict.fromkeys(("40001", "40P01", "55P03"), AGAIN),
    # Shutting down or starting, too many connections, read-only during a failover, cancelled, idle for too long.
    **dict.fromkeys(("57P01", "57P02", "57P03", "57P05", "53300", "25006", "57014", "25P03"), LOST),
    # Larger than a row may be, conditions and triggers that an administrator has added.
    **dict.fromkeys(("54000", "23502", "23514", "P0001"), TOO_LARGE),
}
# A lost connection; data that the server refuses: too long, out of range, not in the character set.
_MEANINGS_OF_CLASSES = {"08": LOST, "22": TOO_LARGE}
_DENIED = "this user lacks a privilege; cronq needs SELECT, INSERT, UPDATE, DELETE on its tables, USAGE on sequences"
_INSUFFICIENT = "42501"
_NO_TLS = "the server has no TLS; `?sslmode=disable` at the end of the URL goes without"
_STAYING = ("authentication failed", "does not exist", "no pg_hba.conf entry", "not permitted", "permission denied",
            "no password supplied", "not currently accepting", "does not support SSL", "certificate",
            "private key", "unsupported startup parameter")  # fmt: skip
"""Parts of messages that show a permanent reason for a refused connection."""

_CANCELLED = "57014"
_PROBE = "cronq_probe"
_PROBE_LIMIT = 3.0
"""Seconds that a notification through a connection pool may take."""

_NO_SESSIONS = (
    "database: the connection pool gives each transaction another session, but cronq needs one of its own:"
    " `pool_mode = session` in pgbouncer, or the server's own port"
)
_LONGEST_REMEMBERED = 4096
"""Characters of a statement above which psycopg parses its placeholders again each time."""

_NOT_FOR_URLS = ("autocommit", "row_factory", "cursor_factory", "context")
"""Options of psycopg that aren't libpq's."""


class Database(Server):
    """A database on a PostgreSQL server."""

    family = "postgresql"
    errors = (psycopg.Error, OSError)

    def connect(self) -> Any:
        """Open a connection of the driver, in autocommit mode."""
        return connect(self.url)

    def limiting(self, seconds: float) -> str:
        """Return the statement that makes the server end later statements after `seconds`."""
        return f"SET statement_timeout = {round(seconds * _MILLISECONDS)}"

    def is_limit(self, error: Exception) -> bool:
        """Tell whether the server ended a statement because of its limit."""
        return getattr(error, "sqlstate", None) == _CANCELLED

    def run(self, connection: Any, sql: str, parameters: Sequence[Any]) -> Any:
        """Execute one statement with the driver's placeholders; NUL, which texts can't contain, becomes U+FFFD."""
        values = [_without_nul(value) for value in parameters]
        if values and len(sql) > _LONGEST_REMEMBERED:
            return psycopg.RawCursor(connection).execute(with_numbers(sql), values)
        return connection.execute(sql, values or None)

    def is_there(self, connection: Any) -> bool:
        """Tell whether the server still has the connection."""
        try:
            connection.execute("SELECT 1")
        except self.errors:
            return False
        return True

    def is_in_transaction(self, connection: Any) -> bool:
        """Tell whether a transaction is open on the connection, or an answer not read to its end."""
        return connection.pgconn.transaction_status != TransactionStatus.IDLE  # type: ignore[no-any-return]

    def is_answer(self, error: Exception) -> bool:
        """Tell whether the error comes from the server, with a code, and not from psycopg itself."""
        return getattr(error, "sqlstate", None) is not None

    def meaning(self, error: Exception) -> str:
        """Return the meaning of the error by its code, such as LOST."""
        code = getattr(error, "sqlstate", None)
        if code is None:
            return LOST if isinstance(error, psycopg.OperationalError | OSError) and not _stays(error) else REFUSED
        return _MEANINGS.get(code) or _MEANINGS_OF_CLASSES.get(code[:2], REFUSED)

    def advice(self, error: Exception) -> str:
        """Return the error's message, with what to do about it if that is known."""
        diagnosis = getattr(error, "diag", None)
        said = (diagnosis and diagnosis.message_primary) or " ".join(str(error).split())
        advice = _way_out(error, said)
        return f"{advice} ({said})" if advice else said

    def inserted(self, session: Session, sql: str, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Insert rows with one statement; returns their ids in the order of the rows."""
        parameters = [value for row in rows for value in row]
        text = many_rows(sql, len(rows)) + returning_id(sql)
        return [row[0] for row in session.statement(text, parameters).fetchall()]

    def inserted_unless_twin(self, session: Session, sql: str, row: Sequence[Any]) -> int | None:
        """Insert one row; returns its id, or None if another row has its unique key."""
        new = session.statement(sql + _UNLESS_TWIN + returning_id(sql), row).fetchall()
        return new[0][0] if new else None

    def unless_twins(self, sql: str) -> str:
        """Return the INSERT that leaves out twins."""
        return sql + _UNLESS_TWIN + returning_id(sql)

    def for_each(self, sql: str, kinds: str) -> str:
        """Return the UPDATE joined to rows made of the array; it finds each row by its primary key.

        Without the CASE, the planner estimates one row for the conditions beside the id, and compares all leased jobs
        with all of the array. Without a LIMIT whose value it can't know, it estimates a hundred rows for the array,
        and reads a table of up to 800 pages as a whole for them.
        """
        changes, _, condition = numbered(sql, kinds).rpartition(" WHERE ")
        by_id, _, fence = condition.partition(" AND ")
        used = [(number, _TYPES[kind]) for number, kind in enumerate(kinds) if kind != "n"]
        columns = ", ".join(f"(e->>{number})::{type_name} AS c{number}" for number, type_name in used)
        source = f"(SELECT {columns} FROM jsonb_array_elements(%s::jsonb) AS e LIMIT (SELECT {_ROWS_AT_MOST})) AS r"
        return f"{changes} FROM {source} WHERE {by_id} AND CASE WHEN {fence} THEN TRUE END"

    def array(self, rows: Sequence[Sequence[Any]]) -> str:
        """Return the rows as JSON, with U+FFFD for NUL."""
        text = super().array(rows)
        if "\\u0000" in text:
            text = super().array([[_without_nul(value) for value in row] for row in rows])
        return text

    def lock(self, number: int) -> bool:
        """Take a lock that lasts as long as the connection; returns False if another connection has it."""
        return self.query("SELECT pg_try_advisory_lock(?)", (number,)) == [(True,)]

    def schema(self) -> str | None:
        """Return the schema in which this user finds the tables, or makes them."""
        return self.query("SELECT current_schema()")[0][0]  # type: ignore[no-any-return]

    def has_other_writers(self) -> bool:
        """Return False: no other server accepts writes to the same tables."""
        return False

    def read_clock(self) -> Measured:
        """Read the server's clock."""
        return server.measured(self, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")


def connect(url: DatabaseURL, *, autocommit: bool = True) -> Any:
    """Open a connection: READ COMMITTED, in autocommit mode, with time limits for each call.

    Raises ConfigError if an option of the URL is wrong, or if a connection pool gives each transaction another session.
    """
    options = _options(url)
    connection = _connected(options)
    try:
        if _set_up(connection, url.query.get("options", "")) != connection.info.backend_pid:
            _require_session(connection, options)
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise
    return connection


def _options(url: DatabaseURL) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "connect_timeout": server.CONNECT_LIMIT,
        "tcp_user_timeout": server.CALL_LIMIT * _MILLISECONDS,
        "sslmode": "disable" if server.on_this_host(url) else "require",
        "client_encoding": "utf8",
        "port": url.port,
        "user": url.username,
        "password": url.password,
        "dbname": url.name,
        "host": url.host.strip("[]") or None,
        **url.query,
    }
    if unknown := [name for name in _NOT_FOR_URLS if name in url.query]:
        raise server.unknown_options(unknown[0], ("those of libpq", "prepare_threshold"))
    if threshold := url.query.get("prepare_threshold"):
        if not threshold.isdecimal() and threshold != "none":
            raise ConfigError(f"database: prepare_threshold: {threshold!r} is neither a number nor none")
        chosen["prepare_threshold"] = None if threshold == "none" else int(threshold)
    return chosen


def _connected(options: dict[str, Any]) -> Any:
    try:
        return psycopg.connect(autocommit=True, **options)
    except psycopg.ProgrammingError as error:
        raise ConfigError(f"database: {' '.join(str(error).split())}") from None


def _set_up(connection: Any, options: str) -> int:
    """Set the limits that the URL's options don't set; returns the pid of this session's server process.

    They are not passed as options of the connection, because connection pools refuse or forget those.
    """
    settings = {name: str(value) for name, value in _limits().items() if name not in options}
    calls = [f"set_config('{name}', '{value}', false)" for name, value in settings.items()]
    return int(connection.execute(f"SELECT {', '.join([*calls, 'pg_backend_pid()'])}").fetchone()[-1])


def _limits() -> dict[str, Any]:
    return {
        "statement_timeout": server.CALL_LIMIT * _MILLISECONDS,
        "lock_timeout": server.LOCK_LIMIT * _MILLISECONDS,
        "idle_in_transaction_session_timeout": server.STANDSTILL_LIMIT * _MILLISECONDS,
        "default_transaction_isolation": "read committed",
    }


def _require_session(connection: Any, options: dict[str, Any]) -> None:
    """Raise ConfigError unless a notification from another session reaches this one while it is idle."""
    connection.execute(f"LISTEN {_PROBE}")
    beside = _connected(options)
    try:
        beside.pgconn.send_query(b"NOTIFY " + _PROBE.encode())
        beside.pgconn.flush()
        if not any(connection.notifies(timeout=_PROBE_LIMIT, stop_after=1)):
            beside.pgconn.consume_input()
            if not beside.pgconn.is_busy():  # else the pool has no second session for the test
                raise ConfigError(_NO_SESSIONS)
    finally:
        beside.close()
    connection.execute(f"UNLISTEN {_PROBE}")


def _way_out(error: Exception, said: str) -> str | None:
    if getattr(error, "sqlstate", None) == _INSUFFICIENT:
        return _DENIED
    return _NO_TLS if "not support SSL" in said else None


def _stays(error: Exception) -> bool:
    """Tell whether a connection was refused for a permanent reason.

    libpq gives no code for that, and a server's message may be in any language. So after
    an unknown error, connecting is tried again until the patience is over: a slow error is better than
    a run that ends because a server was starting up.
    """
    said = str(error)
    return any(reason in said for reason in _STAYING)


def with_numbers(sql: str) -> str:
    """Return the statement with numbered placeholders, as the server needs them.

    psycopg takes as long to number them as for all the rest.
    """
    first, *others = sql.replace("%%", "%").split("%s")
    return first + "".join(f"${number}{part}" for number, part in enumerate(others, start=1))


def _without_nul(value: Any) -> Any:
    return value.replace("\0", "\ufffd") if isinstance(value, str) and "\0" in value else value
