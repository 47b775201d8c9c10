"""Insert jobs in the transaction of a caller's SQLAlchemy Connection or Session."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from cronq.errors import InvalidInput
from cronq.storage.drivers import sqlite
from cronq.storage.drivers.notify import returning_id
from cronq.storage.drivers.server import IDENTITIES, driver_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.storage.drivers.database import Database, Row

_MYSQL_DUPLICATE = 1062


def borrow(connection: Any, database: Database, *, name: str) -> CallerConnection:
    """Take the statements of the driver to the caller's connection.

    Raises InvalidInput unless it leads to the same database; `name` is that one's for people.
    """
    opened = connection.connection() if hasattr(connection, "get_bind") else connection
    dialect = opened.dialect.name
    kind = _KINDS.get(dialect)
    if kind is None or kind.family != database.family:
        raise InvalidInput(f"connection: it leads to a {dialect} database, but the jobs are in {name}")
    borrowed = kind(opened)
    borrowed.require(database, name)
    return borrowed


class CallerConnection(sqlite.Inserting):
    """A caller's connection to SQLite."""

    family = "sqlite"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @property
    def locks_out(self) -> bool:
        """Whether the caller's transaction may keep tables from being made beside it.

        SQLAlchemy begins one as late as with the first change.
        """
        return bool(self._connection.connection.dbapi_connection.in_transaction)

    def require(self, database: Database, name: str) -> None:
        """Raise InvalidInput unless the connection has the database's file open."""
        files = [row[2] for row in self.query(sqlite.IDENTITY) if row[2]]
        if not any(os.path.realpath(file) in database.identity() for file in files):
            raise InvalidInput(f"connection: it leads to {', '.join(files)}, but the jobs are in {name}")

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Execute one statement; the result has `rowcount` and `lastrowid`."""
        return self._connection.exec_driver_sql(sql, tuple(parameters))

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Read the rows of one statement."""
        return [tuple(row) for row in self.execute(sql, parameters)]


class _OnServer(CallerConnection):
    """A caller's connection to a server."""

    locks_out = False

    def require(self, database: Database, name: str) -> None:
        """Raise InvalidInput unless the connection leads to the very same database."""
        there = self.query(IDENTITIES[self.family])[0]
        if tuple(there) != tuple(database.identity()):
            raise InvalidInput(f"connection: it leads to the database {there[0]!r}, but the jobs are in {name}")

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Execute one statement; the result has `rowcount` and `lastrowid`."""
        return self._connection.exec_driver_sql(driver_text(sql), tuple(parameters))


class _OnMySQL(_OnServer):
    family = "mysql"

    def insert_unless_twin(self, sql: str, row: Sequence[Any]) -> int | None:
        try:
            return self.insert(sql, row)
        except Exception as error:
            driver_error = getattr(error, "orig", None)
            if driver_error is None or driver_error.args[:1] != (_MYSQL_DUPLICATE,):
                raise
            return None


class _OnPostgreSQL(_OnServer):
    family = "postgresql"

    def insert(self, sql: str, row: Sequence[Any]) -> int:
        return self.query(sql + returning_id(sql), row)[0][0]  # type: ignore[no-any-return]

    def insert_unless_twin(self, sql: str, row: Sequence[Any]) -> int | None:
        new = self.query(f"{sql} ON CONFLICT DO NOTHING{returning_id(sql)}", row)
        return new[0][0] if new else None


_KINDS = {kind.family: kind for kind in (CallerConnection, _OnMySQL, _OnPostgreSQL)} | {"mariadb": _OnMySQL}
