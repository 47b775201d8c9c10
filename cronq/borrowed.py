"""A caller's own SQLAlchemy Connection or Session, to put jobs into its transaction."""

from __future__ import annotations

import os
from typing import Any

from cronq.errors import InvalidInput


class Borrowed:
    """Takes the statements of the driver."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection.connection() if hasattr(connection, "get_bind") else connection

    @property
    def in_transaction(self) -> bool:
        """Whether the driver has begun one: SQLAlchemy does that as late as with the first change."""
        return bool(self._connection.connection.dbapi_connection.in_transaction)

    def require(self, path: str) -> None:
        """Raise InvalidInput unless the connection has this SQLite file open."""
        dialect = self._connection.dialect.name
        files = [row[2] for row in self.execute("PRAGMA database_list", ())] if dialect == "sqlite" else []
        if os.path.realpath(path) not in [os.path.realpath(file) for file in files if file]:
            there = ", ".join(filter(None, files)) or f"a {dialect} database"
            raise InvalidInput(f"connection: it leads to {there}, but the jobs are in {path}")

    def execute(self, sql: str, parameters: tuple[Any, ...]) -> Any:
        """One statement; the result has `rowcount` and `lastrowid`."""
        return self._connection.exec_driver_sql(sql, parameters)
