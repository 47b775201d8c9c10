"""Execute the store's statements on Django's own connection of an alias, in the caller's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.db.utils import DatabaseError, Error, IntegrityError, InterfaceError, OperationalError

from cronq.errors import Unavailable
from cronq.storage.drivers.caller_connection import by_family
from cronq.storage.drivers.database import Conflict, Duplicate
from cronq.storage.drivers.server import IDENTITIES, driver_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cronq.storage.drivers.caller_connection import CallerConnection
    from cronq.storage.drivers.database import Row, T, Transaction

_TRIES = 10
"""The most tries of a transaction that is in conflict with concurrent ones."""

FAMILIES = ("sqlite", "mysql", "postgresql")


class DjangoDatabase:
    """The driver on `connections[alias]` of the calling thread, also within an open transaction."""

    conflicts = 0

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self.family: str = connections[alias].vendor

    @property
    def _here(self) -> CallerConnection:
        return by_family(self.family)(_Cursors(connections[self._alias]))

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Read the rows of one statement."""
        return self._here.query(sql, parameters)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Execute one writing statement."""
        return self._here.execute(sql, parameters)

    def insert(self, sql: str, row: Sequence[Any]) -> int:
        """Insert one row; returns its id."""
        return self._here.insert(sql, row)

    def insert_unless_twin(self, sql: str, row: Sequence[Any]) -> int | None:
        """Insert one row; returns its id, None if a row has its unique key."""
        return self._here.insert_unless_twin(sql, row)

    def many(self, values: Iterable[Any]) -> Any:
        """Return one parameter that has all these values: a list, on SQLite JSON."""
        if self.family != "sqlite":
            return list(values)
        import json

        return json.dumps(list(values))

    def transact(self, work: Callable[[Transaction], T], read_back: Callable[[], T | None] | None = None) -> T:  # noqa: ARG002 - Django tells a failed COMMIT itself
        """Do the work in a transaction, in a caller's in a savepoint; try up to _TRIES times after conflicts."""
        for _ in range(_TRIES - 1):
            try:
                return self._attempt(work)
            except Conflict:
                self.conflicts += 1
        return self._attempt(work)

    def _attempt(self, work: Callable[[Transaction], T]) -> T:
        try:
            with transaction.atomic(using=self._alias):
                return work(self._here)
        except Error as error:
            raise _known(error) from error.__cause__

    def version(self, table: str) -> str | None:
        """Return the revision of the tables, as `table` has it; None where there is none yet."""
        connection = connections[self._alias]
        with connection.cursor() as cursor:
            if table not in connection.introspection.table_names(cursor):
                return None
            cursor.execute(f"SELECT version_num FROM {table}")
            found = cursor.fetchone()
        return str(found[0]) if found else None

    def read_clock(self) -> None:
        """Return None: reading the server's clock would be a second statement, so the host's is used."""

    def lock(self, number: int) -> bool:
        """Raise NotImplementedError: no lock is taken on a connection that isn't cronq's."""
        raise NotImplementedError(number)

    def has_other_writers(self) -> bool:
        """Return False: only upgrades of the tables and runners call it, which don't use Django's connection."""
        return False

    def set_patience(self, seconds: float) -> None:
        """Do nothing: DATABASES has the settings for how long a statement waits for locks."""

    def set_statement_limit(self, seconds: float) -> None:
        """Do nothing: DATABASES has the settings for this, too."""

    def identity(self) -> Sequence[Any]:
        """Return the values that identify this database."""
        if self.family == "sqlite":
            return [str(connections[self._alias].settings_dict["NAME"])]
        return self.query(IDENTITIES[self.family])[0]

    def schema(self) -> str | None:
        """Return the schema that has the tables on PostgreSQL; None elsewhere, where a database has one."""
        return self.query("SELECT current_schema()")[0][0] if self.family == "postgresql" else None

    def is_replaced(self) -> bool:
        """Return False: Django keeps its connection."""
        return False

    def close(self) -> None:
        """Do nothing: the connection is Django's."""


class _Dialect:
    """The form of placeholders in statements for Django's cursors."""

    paramstyle = "format"


class _Cursors:
    """A connection of Django with the interface of SQLAlchemy's connections, as the drivers for callers use it."""

    dialect = _Dialect

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def exec_driver_sql(self, sql: str, parameters: Sequence[Any]) -> Any:
        """Execute one statement; the result has its rows, `rowcount` and `lastrowid`."""
        vendor = self._connection.vendor
        if vendor == "sqlite":
            sql = driver_text(sql)
        elif vendor == "mysql":
            sql = sql.replace('"', "`")  # the quotes of names in a session without ANSI_QUOTES
        try:
            with self._connection.cursor() as cursor:
                try:
                    cursor.execute(sql, parameters)
                except DatabaseError as error:
                    _explain_missing(error)
                    raise
                return _Result(cursor)
        except Error as error:
            raise _known(error) from error.__cause__


class _Result:
    """The result of a statement, read before its cursor is closed."""

    def __init__(self, cursor: Any) -> None:
        self._rows = cursor.fetchall() if cursor.description else ()
        self.rowcount: int = cursor.rowcount
        self.lastrowid = getattr(cursor, "lastrowid", None)

    def __iter__(self) -> Any:
        return iter(self._rows)

    def fetchall(self) -> Sequence[Any]:
        """Return the rows."""
        return self._rows


_MISSING = ("no such table", "no such column", "has no column", "doesn't exist", "does not exist", "Unknown column")


class DatabaseUnavailable(Unavailable, OperationalError):
    """The database could not be reached, or a lock not be had."""


class Disconnected(Unavailable, InterfaceError):
    """The connection is closed."""


class DuplicateRow(Duplicate, IntegrityError):
    """A unique index has such a row already."""


_KNOWN = {OperationalError: DatabaseUnavailable, InterfaceError: Disconnected, IntegrityError: DuplicateRow}


def _known(error: Error) -> Error:
    """Return an error of Django's as one that the store knows, too."""
    known = _KNOWN.get(type(error))
    return known(*error.args) if known else error


def _explain_missing(error: Exception) -> None:
    """Raise ImproperlyConfigured if an error means that cronq's tables are missing or old."""
    said = str(error)
    if any(words in said for words in _MISSING):
        way_out = "manage.py migrate"
        if not apps.is_installed("cronq.django"):
            way_out = f'add "cronq.django" to INSTALLED_APPS, then: {way_out}'
        message = f"cronq's tables are missing or of an older cronq: {way_out} ({said.strip().splitlines()[0]})"
        raise ImproperlyConfigured(message) from error
