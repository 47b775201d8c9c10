"""PostgreSQL through psycopg: sessions that behave the same everywhere, and errors by code."""

from __future__ import annotations

from cronq.dialects import server
from cronq.dialects.notify import returning_id
from cronq.dialects.server import AGAIN, DUPLICATE, LOST, MISSING, REFUSED, TOO_LARGE, Server, many_rows, numbered
from cronq.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from cronq.database_url import DatabaseURL
    from cronq.times import Measured

try:
    import psycopg
except ImportError:
    message = "PostgreSQL needs a driver: pip install 'cronq-jobs[postgresql]'"
    raise ConfigError(message) from None

_TYPES = {"b": "boolean", "i": "bigint", "f": "double precision", "s": "text"}
_UNLESS_TWIN = " ON CONFLICT DO NOTHING"
_MILLISECONDS = 1000

_MEANINGS = {
    "23505": DUPLICATE,
    "42P01": MISSING,
    # A serialisation failure, a deadlock, a lock that took too long.
    **dict.fromkeys(("40001", "40P01", "55P03"), AGAIN),
    # Shutting down or starting, too many connections, read-only during a failover, cancelled, idle for too long.
    **dict.fromkeys(("57P01", "57P02", "57P03", "57P05", "53300", "25006", "57014", "25P03"), LOST),
    # Too long for its column, out of range, not in the character set, larger than a row may be.
    **dict.fromkeys(("22001", "22003", "22021", "22P05", "54000"), TOO_LARGE),
}
_PASSING = ("starting up", "shutting down", "recovery", "too many", "connection slots", "terminating")
"""What a server says that will soon take connections again."""


class Database(Server):
    """One connection to a PostgreSQL server."""

    family = "postgresql"
    errors = (psycopg.Error, OSError)

    def connect(self) -> Any:
        """A connection of the driver, in autocommit mode."""
        return connect(self.url)

    def run(self, sql: str, parameters: Sequence[Any]) -> Any:
        """One statement in the driver's words; NUL, which no text here can hold, becomes U+FFFD."""
        return self._connection.execute(sql, [_without_nul(value) for value in parameters] or None)

    def is_there(self) -> bool:
        """Whether the server still knows the connection."""
        try:
            self._connection.execute("SELECT 1")
        except self.errors:
            return False
        return True

    def meaning(self, error: Exception) -> str:
        """What the error means, by its code."""
        code = getattr(error, "sqlstate", None)
        if code is None:
            lost = isinstance(error, psycopg.OperationalError | OSError) and not _refused_for_good(str(error))
            return LOST if lost else REFUSED
        return LOST if code.startswith("08") else _MEANINGS.get(code, REFUSED)

    def advice(self, error: Exception) -> str:
        """The error for a person."""
        diagnosis = getattr(error, "diag", None)
        return (diagnosis and diagnosis.message_primary) or " ".join(str(error).split())

    def inserted(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Insert rows in one statement; their ids in order."""
        parameters = [value for row in rows for value in row]
        text = many_rows(sql, len(rows)) + returning_id(sql)
        return [row[0] for row in self.statement(text, parameters).fetchall()]

    def inserted_unless_twin(self, sql: str, row: Sequence[Any]) -> int | None:
        """Insert a row; its id, None if a row has its unique key."""
        new = self.statement(sql + _UNLESS_TWIN + returning_id(sql), row).fetchall()
        return new[0][0] if new else None

    def unless_twins(self, sql: str) -> str:
        """The INSERT in words that leave out twins."""
        return sql + _UNLESS_TWIN + returning_id(sql)

    def for_each(self, sql: str, kinds: str) -> str:
        """The UPDATE joined to rows made of the array."""
        changes, where, condition = numbered(sql, kinds).rpartition(" WHERE ")
        used = [(number, _TYPES[kind]) for number, kind in enumerate(kinds) if kind != "n"]
        columns = ", ".join(f"(e->>{number})::{type_name} AS c{number}" for number, type_name in used)
        source = f"(SELECT {columns} FROM jsonb_array_elements(%s::jsonb) AS e) AS r"
        return f"{changes} FROM {source}{where}{condition}"

    def array(self, rows: Sequence[Sequence[Any]]) -> str:
        """The rows as JSON."""
        text = super().array(rows)
        if "\\u0000" in text:
            text = super().array([[_without_nul(value) for value in row] for row in rows])
        return text

    def lock(self, number: int) -> bool:
        """Take a lock that lasts as long as the connection; False if another one has it."""
        return self.query("SELECT pg_try_advisory_lock(?)", (number,)) == [(True,)]

    def read_clock(self) -> Measured:
        """The server's clock."""
        return server.measured(self, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")


def connect(url: DatabaseURL, *, autocommit: bool = True) -> Any:
    """A new connection: READ COMMITTED, in autocommit mode, with time limits for every call."""
    timeouts = {
        "statement_timeout": server.CALL_LIMIT * _MILLISECONDS,
        "lock_timeout": server.LOCK_LIMIT * _MILLISECONDS,
        "idle_in_transaction_session_timeout": server.STANDSTILL_LIMIT * _MILLISECONDS,
    }
    session = " ".join(f"-c {name}={value}" for name, value in timeouts.items())
    chosen: dict[str, Any] = {
        "connect_timeout": server.CONNECT_LIMIT,
        "tcp_user_timeout": server.CALL_LIMIT * _MILLISECONDS,
        "sslmode": "disable" if server.on_this_host(url) else "require",
        **url.query,
    }
    chosen["options"] = f"{session} -c default_transaction_isolation=read\\ committed {chosen.get('options', '')}"
    try:
        return psycopg.connect(
            host=url.query.get("host") or url.host.strip("[]") or None,
            port=url.port,
            user=url.username,
            password=url.password,
            dbname=url.name,
            autocommit=autocommit,
            **{key: value for key, value in chosen.items() if key != "host"},
        )
    except psycopg.ProgrammingError as error:
        raise ConfigError(f"database: {' '.join(str(error).split())}") from None


def _refused_for_good(said: str) -> bool:
    """Whether a connection was refused for a reason that stays; such errors come without a code."""
    if "SSL" in said and "not support" in said:
        return True
    return "FATAL:" in said and not any(passing in said for passing in _PASSING)


def _without_nul(value: Any) -> Any:
    return value.replace("\0", "\ufffd") if isinstance(value, str) and "\0" in value else value
