"""Define the interface of the database drivers, and the errors that they raise."""

from __future__ import annotations

from cronq.errors import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, Protocol, TypeVar

    from cronq.times import Measured

    Row = tuple[Any, ...]
    T = TypeVar("T")

    class Changed(Protocol):
        """The result of a writing statement."""

        @property
        def rowcount(self) -> int:
            """The number of rows that it inserted, or that met its condition."""

    class Connection(Protocol):
        """Executes statements in which `?` stands for a parameter."""

        def query(self, sql: str, parameters: Sequence[Any] = ...) -> list[Row]:
            """Read the rows of one statement."""

        def execute(self, sql: str, parameters: Sequence[Any] = ...) -> Changed:
            """Execute one statement. Raises Duplicate."""

        def insert(self, sql: str, row: Sequence[Any]) -> int:
            """Insert one row; returns its id."""

        def insert_unless_twin(self, sql: str, row: Sequence[Any]) -> int | None:
            """Insert one row; returns its id, or None if another row has its unique key."""

    class Transaction(Connection, Protocol):
        """A writing transaction."""

        def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
            """Execute one statement for each row of parameters; returns the number of rows inserted or matched."""

        def insert_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[int]:
            """Insert rows; returns their ids in the order of the rows."""

        def insert_unless_twins(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
            """Insert those rows whose unique keys no other row has; called on servers only."""

    class Database(Connection, Protocol):
        """A database, with a connection that is opened at first use and again after `close` or a loss."""

        family: str
        conflicts: int
        """The number of times that a statement or transaction was repeated because of a concurrent one."""

        def many(self, values: Iterable[Any]) -> Any:
            """Return these values, at least one, as one parameter."""

        def transact(self, work: Callable[[Transaction], T], read_back: Callable[[], T | None] | None = None) -> T:
            """Call `work` in a transaction and return its result; repeat it after a conflict with a concurrent one.

            If the answer to the COMMIT got lost, `read_back` returns the result of `work`, or None if it isn't in
            the database; then `work` is called again. Without `read_back`, it must be safe to do `work` twice.
            """

        def version(self, table: str) -> str | None:
            """Return the revision of the tables that `table` contains, or None if there is none yet."""

        def read_clock(self) -> Measured | None:
            """Return a reading of the database's clock, or None if that is the host's."""

        def lock(self, number: int) -> bool:
            """Take a lock that lasts as long as the connection; returns False if another connection has it."""

        def has_other_writers(self) -> bool:
            """Tell whether other servers accept writes to the same tables: there this one's locks have no effect."""

        def set_patience(self, seconds: float) -> None:
            """Set for how long a statement is tried again while the database is unreachable or locked."""

        def set_statement_limit(self, seconds: float) -> None:
            """Limit how long a reading statement may take; one that takes longer raises TooSlow.

            On MariaDB and PostgreSQL, writing statements too.
            """

        def identity(self) -> Sequence[Any]:
            """Return the values that identify this database."""

        def schema(self) -> str | None:
            """Return the schema that holds the tables, or None where a database has only one."""

        def is_replaced(self) -> bool:
            """Tell whether the database was replaced; the next statement opens the new one. It is called often."""

        def close(self) -> None:
            """Close the connection; the next statement opens another one."""


class Duplicate(Exception):
    """A unique index has such a row already."""


class Missing(Unavailable):
    """A table doesn't exist."""


GONE = "a table of the queue is gone: restore it from a backup"
"""The message for tables that were dropped while a process used them."""


class Conflict(Exception):
    """Rows were changed by a concurrent transaction: this one must be repeated from its start."""
