"""Execute the store's statements on a connection to a server, which one call uses at a time."""

from __future__ import annotations

import os
import sys
import time
from operator import itemgetter

from cronq.storage.drivers import forks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from cronq.storage.drivers.database import Row
    from cronq.storage.drivers.server import Cursor, Server

_ROWS_AT_ONCE = 500
_SMALL = 16_384
"""Characters that every server accepts in one statement."""


class Session:
    """A connection of the driver; records whether its last statement was answered and its transaction has ended.

    `Server.transact` passes one to its `work` as the transaction; an exception rolls that back.
    """

    def __init__(self, server: Server, connection: Any) -> None:
        self._server = server
        self._pid = os.getpid()
        self._answered = True
        self._begun = False
        self.connection = connection
        self.used = time.monotonic()

    # Whether it may be used again

    @property
    def in_transaction(self) -> bool:
        """Whether a statement or a transaction on it hasn't ended."""
        return not self._answered or self._begun or self._server.is_in_transaction(self.connection)

    def begin(self) -> None:
        """Begin a transaction."""
        self._begun = True
        self.run("BEGIN", ())

    def commit(self) -> None:
        """Commit the transaction."""
        self.run("COMMIT", ())
        self._begun = False

    def undo(self) -> bool:
        """Roll back; returns False if an answer may still be on its way, or the connection is lost."""
        if self._answered and self._begun:
            try:
                self.run("ROLLBACK", ())
            except self._server.errors:
                return False
            self._begun = False
        return not self.in_transaction

    def close(self) -> None:
        """Close the connection; the server undoes what hasn't been committed."""
        self._answered = False
        try:
            self.connection.close()
        except self._server.errors:
            return  # it was gone already

    def drop_inherited(self) -> None:
        """Give it up without closing it: that would end the session of the process that opened it."""
        self._pid = 0
        forks.inherited.append(self.connection)

    # Bound here, because at the interpreter's end the modules' names are gone before the last connection.
    def __del__(
        self,
        getpid: Callable[[], int] = os.getpid,
        inherited: list[Any] = forks.inherited,
        is_ending: Callable[[], bool] = sys.is_finalizing,
    ) -> None:
        if self._pid == getpid():
            if not is_ending():
                self.close()
        elif self._pid:
            inherited.append(self.connection)

    # Statements

    def run(self, text: str, parameters: Sequence[Any]) -> Cursor:
        """Execute one statement with the driver's placeholders, without a retry."""
        self._answered = False
        try:
            cursor = self._server.run(self.connection, text, parameters)
        except self._server.errors as error:
            self._answered = self._server.is_answer(error)
            raise
        self._answered = True
        return cursor

    def statement(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        """Execute one statement, without a retry."""
        return self.run(self._server.text(sql), parameters)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Read the rows of one statement."""
        return list(self.statement(sql, parameters).fetchall())

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        """Execute one statement; on PostgreSQL, an error makes the whole transaction fail."""
        return self.statement(sql, parameters)

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        """Execute one statement for each row of parameters; returns the number of rows inserted or matched."""
        many = list(rows)
        if sql.startswith("UPDATE"):
            return self._change_each(sql, many)
        for chunk in self._chunks(many):
            self.statement(many_rows(sql, len(chunk)), [value for row in chunk for value in row])
        return len(many)

    def insert(self, sql: str, row: Sequence[Any]) -> int:
        """Insert one row; returns its id."""
        return self._server.inserted(self, sql, [row])[0]

    def insert_unless_twin(self, sql: str, row: Sequence[Any]) -> int | None:
        """Insert one row; returns its id, or None if another row has its unique key."""
        return self._server.inserted_unless_twin(self, sql, row)

    def insert_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Insert rows; returns their ids in the order of the rows."""
        return [one for chunk in self._chunks(rows) for one in self._server.inserted(self, sql, chunk)]

    def insert_unless_twins(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Insert those rows whose unique keys no other row has."""
        for chunk in self._chunks(rows):
            values = [value for row in chunk for value in row]
            self.statement(self._server.unless_twins(many_rows(sql, len(chunk))), values)

    def _change_each(self, sql: str, rows: list[Sequence[Any]]) -> int:
        """Execute one UPDATE for each row of parameters; returns the number of rows matched.

        It updates in the order of the ids, which are the last but one parameter.
        """
        rows.sort(key=itemgetter(-2))
        changed = 0
        for chunk in self._chunks(rows):
            kinds = "".join(map(_kind, zip(*chunk, strict=True)))
            changed += self.run(self._server.text_for_each(sql, kinds), (self._server.array(chunk),)).rowcount
        return changed

    def _chunks(self, rows: Sequence[Sequence[Any]]) -> Iterable[Sequence[Sequence[Any]]]:
        """Divide the rows into chunks that the server accepts in one statement."""
        sizes = [sum(len(value) for value in row if isinstance(value, str)) for row in rows]
        if len(rows) <= _ROWS_AT_ONCE and sum(sizes) <= _SMALL:
            return [rows] if rows else []
        return _divided(rows, sizes, limit=self._server.characters_at_once(self.connection))


def many_rows(sql: str, count: int) -> str:
    """Turn the INSERT of one row into one of `count` rows."""
    head, values, row = sql.rpartition(" VALUES ")
    return f"{head}{values}{', '.join([row] * count)}"


def _kind(column: tuple[Any, ...]) -> str:
    kinds = set(map(type, column))
    for kind, letter in ((str, "s"), (float, "f"), (int, "i"), (bool, "b")):
        if kind in kinds:
            return letter
    return "s" if kinds - {type(None)} else "n"


def _divided(rows: Sequence[Sequence[Any]], sizes: Sequence[int], *, limit: int) -> Iterator[Sequence[Sequence[Any]]]:
    chunk: list[Sequence[Any]] = []
    size = 0
    for row, length in zip(rows, sizes, strict=True):
        if chunk and (len(chunk) == _ROWS_AT_ONCE or size + length > limit):
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += length
    if chunk:
        yield chunk
