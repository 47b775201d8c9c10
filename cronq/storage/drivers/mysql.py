"""Access MySQL and MariaDB through PyMySQL: make session settings uniform, and classify errors by their codes."""

from __future__ import annotations

from functools import partial

import pymysql
from pymysql.constants import CLIENT, SERVER_STATUS

from cronq.errors import ConfigError
from cronq.storage.drivers import server
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
    from collections.abc import Callable, Sequence
    from ssl import SSLContext
    from typing import Any

    from cronq.config.database_url import DatabaseURL
    from cronq.storage.drivers.session import Session
    from cronq.times import Measured

_STAYING = 28800
_SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ANSI_QUOTES',"
    # An administrator's defaults for interactive sessions would refuse statements or cut their results.
    " sql_safe_updates = 0, sql_select_limit = 18446744073709551615, sql_big_selects = 1, completion_type = 0,"
    f" innodb_lock_wait_timeout = {server.LOCK_LIMIT}"
    # MySQL ends an idle transaction only by ending its connection, so idle connections end too, and are replaced.
    " /*!80000 , wait_timeout = {limit} */"
    # Settings of MariaDB only. With the last, a node of a Galera cluster reads what was committed on the others.
    " /*M!100300 , wait_timeout = {staying}, idle_transaction_timeout = {limit}, wsrep_sync_wait = 1 */"
)
_ISOLATION = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
_TYPES = {"b": "TINYINT", "i": "BIGINT", "f": "DOUBLE", "s": "LONGTEXT CHARACTER SET utf8mb4"}
_TLS = ("ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_cert", "ssl_verify_identity", "ssl_disabled")
_CLIENT_ERRORS = 2000
_PACKET = 1153
_UNCOUNTED = 16_384
"""Characters that every server accepts in one statement."""

_SINGLE = 32
"""The most parameters of a statement for one row. Statements for many rows are divided beforehand."""

_BYTES_A_CHARACTER = 10
"""The most bytes of a character as JSON in a string of a statement, with the separators."""

_TRUE = ("1", "true", "yes", "on")

_MEANINGS = {
    1062: DUPLICATE,
    1146: MISSING,
    # Deadlock or another node's write, a lock that took too long, a row changed since the snapshot, Galera not ready,
    # a transaction that conflicts with one of another member of a replication group.
    **dict.fromkeys((1213, 1205, 1020, 1047, 3101), AGAIN),
    # An error during COMMIT, also of a replication group: the caller must look up whether it was committed.
    **dict.fromkeys((1180, 3100), LOST),
    # Shutting down, killed, connections or statements used up, read-only during a failover, timeouts of the network.
    **dict.fromkeys((1053, 1077, 1079, 1317, 1927, 4031, 1040, 1203, 1226, 1290, 1836, 1158, 1159, 1160, 1161), LOST),
    # In offline mode; a statement that took longer than the administrator's limit (MariaDB, MySQL).
    **dict.fromkeys((3032, 1969, 3024), LOST),
    **dict.fromkeys((2002, 2003, 2006, 2013, 2014, 2055), LOST),
    # Too long for its column, not in the character set, out of range, larger than the server accepts.
    **dict.fromkeys((1406, 1366, 1300, 1264, 1265, 1292, _PACKET), TOO_LARGE),
    # JSON that the server refuses; conditions and triggers that an administrator has added.
    **dict.fromkeys((3140, 3141, 3157, 4038, 4040, 1048, 3819, 4025, 1644), TOO_LARGE),
}
_DENIED = "this user lacks a privilege; cronq needs SELECT, INSERT, UPDATE and DELETE on its tables"
_PASSWORD_NEEDS_TLS = (
    "database: this user's password goes to MySQL through TLS or a Unix socket: leave out `ssl_disabled`,"
    " or `pip install cryptography`"
)
_PASSWORD_WITHOUT_TLS = (
    "database: this user's password goes to MySQL through TLS, which the server hasn't: `pip install cryptography`"
    " goes without"
)
_TLS_HERE = "; if the user has to use TLS, `?ssl_verify_cert=false` at the end of the URL turns it on"
_TLS_REQUIRED = 3159
_NO_TLS = 2026
_ACCESS_DENIED = 1045
_ENDED = (1969, 3024)
"""The error codes, of MariaDB and of MySQL, for a statement that took longer than its limit."""

_ADVICE = {
    _ACCESS_DENIED: "access denied: check user name and password",
    1044: "this user may not use the database",
    1049: "there is no such database on the server",
    1142: _DENIED,
    1143: _DENIED,
    1040: "too many connections",
    1290: "the server is read-only",
    1836: "the server is read-only",
    _PACKET: "larger than the server's max_allowed_packet",
    1226: "this user has used up what the server allows it",
    _NO_TLS: "the server has no TLS; `?ssl_disabled=true` at the end of the URL goes without, with"
    " `pip install cryptography` if the user's password is a caching_sha2_password",
    _TLS_REQUIRED: "the server takes only TLS: leave out `ssl_disabled` from the URL",
    3032: "the server is in offline mode",
    1969: "the server's max_statement_time is too short",
    3024: "the server's max_execution_time is too short",
}


class Database(Server):
    """A database on a MySQL or MariaDB server."""

    family = "mysql"
    # Not from pymysql.err: where PyMySQL is used as mysqlclient, that is a second copy, whose errors are never raised.
    errors = (pymysql.Error, OSError)
    _returns_ids = False
    _packet = 0

    def connect(self) -> Any:
        """Open a connection of the driver, in autocommit mode; row counts are of rows matched, not changed."""
        connection = connect(self.url)
        self._returns_ids = "MariaDB" in connection.get_server_info()
        self._packet = 0
        return connection

    def limiting(self, seconds: float) -> str:
        """Return the statement that makes the server end later ones after `seconds`; MySQL ends only reading ones."""
        if self._returns_ids:
            return f"SET SESSION max_statement_time = {seconds}"
        return f"SET SESSION max_execution_time = {round(seconds * 1000)}"

    def is_limit(self, error: Exception) -> bool:
        """Tell whether the server ended a statement because of its limit."""
        return bool(error.args) and error.args[0] in _ENDED

    def run(self, connection: Any, sql: str, parameters: Sequence[Any]) -> Any:
        """Execute one statement with the driver's placeholders."""
        if len(parameters) <= _SINGLE:
            self._require_room(connection, parameters)
        cursor = connection.cursor()
        cursor.execute(sql, parameters)
        return cursor

    def _require_room(self, connection: Any, parameters: Sequence[Any]) -> None:
        """Raise the error for a statement that is too large, at which many servers just close the connection."""
        texts = [value for value in parameters if type(value) is str]
        characters = sum(map(len, texts))
        if characters <= _UNCOUNTED or characters * _BYTES_A_CHARACTER <= self._packet_of(connection):
            return
        size = sum(len(connection.escape(text).encode("utf-8", "surrogateescape")) for text in texts)
        if size > self._packet - _UNCOUNTED:
            raise pymysql.OperationalError(_PACKET, f"{size} bytes, the server takes {self._packet}")

    def _packet_of(self, connection: Any) -> int:
        """Return the size in bytes of the largest statement that the server accepts; read once for each connection."""
        if not self._packet:
            cursor = connection.cursor()
            cursor.execute("SELECT @@max_allowed_packet")
            self._packet = cursor.fetchone()[0]
        return self._packet

    def characters_at_once(self, connection: Any) -> int:
        """Return the most characters that a statement for many rows may have."""
        return min(super().characters_at_once(connection), self._packet_of(connection) // _BYTES_A_CHARACTER)

    def is_there(self, connection: Any) -> bool:
        """Tell whether the server still has the connection."""
        try:
            connection.ping(reconnect=False)
        except self.errors:
            return False
        return True

    def is_in_transaction(self, connection: Any) -> bool:
        """Tell whether a transaction is open on the connection, according to the server's last answer."""
        return bool(connection.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)

    def is_answer(self, error: Exception) -> bool:
        """Tell whether the error comes from the server and not from PyMySQL itself."""
        return 0 < _code(error) < _CLIENT_ERRORS or _code(error) >= _CLIENT_ERRORS + 1000

    def meaning(self, error: Exception) -> str:
        """Return the meaning of the error by its code, such as LOST."""
        code = _code(error)
        if _certificate_refused(error):
            return REFUSED
        return _MEANINGS.get(code, LOST if not code and not isinstance(error, pymysql.ProgrammingError) else REFUSED)

    def advice(self, error: Exception) -> str:
        """Return the error's message, with what to do about it if that is known."""
        said = _certificate_refused(error) or (str(error.args[-1]) if error.args else type(error).__name__)
        code = _code(error)
        advice = _ADVICE.get(code)
        if code == _ACCESS_DENIED and _without_tls_by_default(self.url):
            advice = f"{advice}{_TLS_HERE}"
        return f"{advice} ({said})" if advice else said

    def inserted(self, session: Session, sql: str, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Insert rows with one statement; returns their ids in the order of the rows."""
        text = many_rows(sql, len(rows))
        parameters = [value for row in rows for value in row]
        if len(rows) == 1:
            return [session.statement(text, parameters).lastrowid]
        if self._returns_ids:
            return [row[0] for row in session.statement(f"{text} RETURNING id", parameters).fetchall()]
        # The count is known before, so the server reserves all ids at once, in steps of its increment.
        first = session.statement(text, parameters).lastrowid
        step = session.statement("SELECT @@auto_increment_increment").fetchall()[0][0]
        return list(range(first, first + len(rows) * step, step))

    def inserted_unless_twin(self, session: Session, sql: str, row: Sequence[Any]) -> int | None:
        """Insert one row; returns its id, or None if another row has its unique key.

        In that case only this statement is undone, not the transaction.
        """
        try:
            return self.inserted(session, sql, [row])[0]
        except pymysql.IntegrityError as error:
            if self.meaning(error) != DUPLICATE:
                raise
            return None

    def unless_twins(self, sql: str) -> str:
        """Return the INSERT that leaves out twins. It doesn't use IGNORE, which would also cut long values."""
        return f"{sql} ON DUPLICATE KEY UPDATE task = task"

    def for_each(self, sql: str, kinds: str) -> str:
        """Return the UPDATE joined to a table made of the array; it updates in the array's order, by primary key."""
        _, table, changes = sql.split(" ", 2)
        columns = ", ".join(
            f"c{number} {_TYPES[kind]} PATH '$[{number}]'" for number, kind in enumerate(kinds) if kind != "n"
        )
        source = f"JSON_TABLE(%s, '$[*]' COLUMNS ({columns})) AS r"
        return f"UPDATE {source} STRAIGHT_JOIN {table} FORCE INDEX (PRIMARY) {numbered(changes, kinds)}"

    def lock(self, number: int) -> bool:
        """Take a lock that lasts as long as the connection; returns False if another connection has it."""
        self.execute(f"SET SESSION wait_timeout = {_STAYING}")
        return self.query("SELECT GET_LOCK(?, 0)", (f"cronq:{number:08x}",)) == [(1,)]

    def has_other_writers(self) -> bool:
        """Tell whether this is a node of a Galera cluster."""
        return self.query("SHOW VARIABLES LIKE 'wsrep_on'") == [("wsrep_on", "ON")]

    def read_clock(self) -> Measured:
        """Read the server's clock."""
        return server.measured(self, "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))")


def connect(url: DatabaseURL) -> Any:
    """Open a connection: READ COMMITTED, strict, in autocommit mode, with time limits for each call.

    Raises ConfigError if an option of the URL is wrong, or if the password can't be sent without TLS.
    """
    options = {key: value for key, value in url.query.items() if key not in (*_TLS, "unix_socket", "charset")}
    if options:
        unknown = ", ".join(options)
        raise server.unknown_options(unknown, (*_TLS, "unix_socket"))
    connection = _authenticated(
        url,
        host=url.host.strip("[]") or "localhost",
        port=url.port or 3306,
        user=url.username,
        password=url.password or "",
        database=url.name,
        unix_socket=url.query.get("unix_socket"),
        charset="utf8mb4",
        autocommit=True,
        client_flag=CLIENT.FOUND_ROWS,
        connect_timeout=server.CONNECT_LIMIT,
        read_timeout=server.CALL_LIMIT,
        write_timeout=server.CALL_LIMIT,
        init_command=_ISOLATION,
    )
    with connection.cursor() as cursor:
        cursor.execute(_SESSION.format(limit=server.STANDSTILL_LIMIT, staying=_STAYING))
    return connection


def _authenticated(url: DatabaseURL, **options: Any) -> Any:
    try:
        return pymysql.connect(**options, **_tls(url))
    except RuntimeError:
        # MySQL 8 requires the password of a user that hasn't logged in since its start. Without TLS,
        # PyMySQL encrypts that with a package that isn't needed with TLS.
        if "ssl_disabled" in url.query:
            raise ConfigError(_PASSWORD_NEEDS_TLS) from None
    except pymysql.OperationalError as error:
        if _code(error) != _TLS_REQUIRED or not _without_tls_by_default(url):
            raise
    return _with_tls(**options)


def _with_tls(**options: Any) -> Any:
    try:
        return pymysql.connect(**options, ssl=_context({}))
    except pymysql.OperationalError as error:
        if _code(error) == _NO_TLS:
            raise ConfigError(_PASSWORD_WITHOUT_TLS) from None
        raise


def _tls(url: DatabaseURL) -> dict[str, Any]:
    """Return the options for TLS: off on this host, on elsewhere, unless the options in the URL decide."""
    chosen = {key: value for key, value in url.query.items() if key in _TLS}
    disabled = chosen.get("ssl_disabled", "").lower()
    if disabled in _TRUE or _without_tls_by_default(url):
        return {"ssl_disabled": True}
    return {"ssl": _context(chosen)}


def _without_tls_by_default(url: DatabaseURL) -> bool:
    return server.on_this_host(url) and not any(option in url.query for option in _TLS)


def _context(chosen: dict[str, str]) -> SSLContext:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    verify = chosen.get("ssl_verify_cert", "true" if "ssl_ca" in chosen else "").lower() in _TRUE
    context.check_hostname = chosen.get("ssl_verify_identity", "").lower() in _TRUE
    context.verify_mode = ssl.CERT_REQUIRED if verify or context.check_hostname else ssl.CERT_NONE
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # certificates that MySQL makes itself don't pass that
    if "ssl_ca" in chosen:
        _load("ssl_ca", chosen, partial(context.load_verify_locations, chosen["ssl_ca"]))
    elif context.verify_mode == ssl.CERT_REQUIRED:
        context.load_default_certs()
    if "ssl_cert" in chosen:
        _load("ssl_cert", chosen, partial(context.load_cert_chain, chosen["ssl_cert"], chosen.get("ssl_key")))
    return context


def _load(option: str, chosen: dict[str, str], load: Callable[[], None]) -> None:
    try:
        load()
    except OSError as error:
        raise ConfigError(f"database: {option}: {chosen[option]}: {error.strerror or error}") from None


def _certificate_refused(error: Exception) -> str:
    """Return why the server's certificate was refused; empty for another error."""
    # PyMySQL wraps the reason in the error for an unreachable server.
    reason = getattr(getattr(error, "original_exception", None), "verify_message", "")
    return f"the server's certificate is refused: {reason}" if reason else ""


def _code(error: Exception) -> int:
    code = error.args[0] if error.args else 0
    return code if isinstance(code, int) else 0
