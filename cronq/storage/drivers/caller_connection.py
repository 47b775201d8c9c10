"""Insert jobs in the transaction of a caller's SQLAlchemy Connection or Session."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.errors import InvalidInput
from cronq.storage.drivers import sqlite
from cronq.storage.drivers.notify import returning_id
from cronq.storage.drivers.server import IDENTITIES, driver_text
from cronq.storage.drivers.session import many_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cronq.storage.drivers.database import Database, Row

_MYSQL_DUPLICATE = 1062
_AT_ONCE = 500
"""The most rows of one INSERT: SQLite accepts 32,766 parameters."""


class Identified(NamedTuple):
    """The family of a database and the values that identify it, read in advance."""

    family: str
    values: tuple[Any, ...]

    def identity(self) -> tuple[Any, ...]:
        """Return the values that identify the database, as `Database.identity` does."""
        return self.values


def borrow(connection: Any, database: Database | Identified, *, name: str) -> CallerConnection:
    """Return an object that executes the store's statements on the caller's connection.

    Raises InvalidInput if the connection is asynchronous, or doesn't lead to `database`, which messages call `name`.
    """
    if hasattr(connection, "run_sync"):
        raise InvalidInput("connection: an asynchronous one is for `await task.aenqueue(…)` and `queue.aenqueue(…)`")
    opened = connection.connection() if hasattr(connection, "get_bind") else connection
    dialect = opened.dialect.name
    kind = _KINDS.get(dialect)
    if kind is None or kind.family != database.family:
        raise InvalidInput(f"connection: it leads to a {dialect} database, but the jobs are in {name}")
    borrowed = kind(opened)
    borrowed.require(database, name)
    return borrowed


class CallerConnection(sqlite.Inserting):
    """Executes the store's statements on a caller's connection to SQLite."""

    family = "sqlite"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @property
    def locks_out(self) -> bool:
        """Whether the caller's transaction may keep another connection from making tables.

        Only an open one does; SQLAlchemy's is open from the first change on.
        """
        return bool(self._connection.connection.driver_connection.in_transaction)

    def require(self, database: Database | Identified, name: str) -> None:
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

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        """Execute one statement for each row of parameters; returns the number of rows inserted or matched."""
        return sum(self.execute(sql, row).rowcount for row in rows)

    def insert_unless_twins(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Insert those rows whose unique keys no other row has."""
        for row in rows:
            self.insert_unless_twin(sql, row)

    def insert_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Insert rows with one statement for each 500; returns their ids in the order of the rows."""
        ids: list[int] = []
        for start in range(0, len(rows), _AT_ONCE):
            chunk = rows[start : start + _AT_ONCE]
            ids += self._inserted(many_rows(sql, len(chunk)), [value for row in chunk for value in row], len(chunk))
        return ids

    def _inserted(self, sql: str, values: Sequence[Any], count: int) -> Iterable[int]:
        last = self.insert(sql, values)
        return range(last - count + 1, last + 1)  # no other connection writes during the statement: no gaps


class _OnServer(CallerConnection):
    """Executes the store's statements on a caller's connection to a server."""

    locks_out = False

    def require(self, database: Database | Identified, name: str) -> None:
        """Raise InvalidInput unless the connection leads to the same database."""
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
            if getattr(error, "orig", error).args[:1] != (_MYSQL_DUPLICATE,):
                raise
            return None

    def _inserted(self, sql: str, values: Sequence[Any], count: int) -> Iterable[int]:
        first = self.insert(sql, values)  # the server reserves all ids at once, in steps of its increment
        step = self.query("SELECT @@auto_increment_increment")[0][0]
        return range(first, first + count * step, step)


class _OnPostgreSQL(_OnServer):
    family = "postgresql"

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Execute one statement, with numbered placeholders for asyncpg."""
        if self._connection.dialect.paramstyle != "numeric_dollar":
            return super().execute(sql, parameters)
        first, *rest = sql.split("?")
        text = first + "".join(f"${number}{part}" for number, part in enumerate(rest, start=1))
        return self._connection.exec_driver_sql(text, tuple(parameters))

    def insert(self, sql: str, row: Sequence[Any]) -> int:
        return self.query(sql + returning_id(sql), row)[0][0]  # type: ignore[no-any-return]

    def insert_unless_twin(self, sql: str, row: Sequence[Any]) -> int | None:
        new = self.query(f"{sql} ON CONFLICT DO NOTHING{returning_id(sql)}", row)
        return new[0][0] if new else None

    def _inserted(self, sql: str, values: Sequence[Any], count: int) -> Iterable[int]:  # noqa: ARG002 - as elsewhere
        return [row[0] for row in self.query(sql + returning_id(sql), values)]


def by_family(family: str) -> type[CallerConnection]:
    """Return the class that executes statements on a connection to this family; that must have `exec_driver_sql`."""
    return _KINDS[family]


_KINDS = {kind.family: kind for kind in (CallerConnection, _OnMySQL, _OnPostgreSQL)} | {"mariadb": _OnMySQL}
