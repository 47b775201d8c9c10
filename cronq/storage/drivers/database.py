"""The interface of database drivers: connections, transactions, errors by code."""

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
        """What a writing statement did."""

        @property
        def rowcount(self) -> int:
            """How many rows its condition met."""

    class Connection(Protocol):
        """Takes statements in which `?` stands for a parameter."""

        def query(self, sql: str, parameters: Sequence[Any] = ...) -> list[Row]:
            """Read the rows of one statement."""

        def execute(self, sql: str, parameters: Sequence[Any] = ...) -> Changed:
            """Execute one statement. Raises Duplicate."""

        def insert(self, sql: str, row: Sequence[Any]) -> int:
            """Insert one row; returns its id."""

        def insert_unless_twin(self, sql: str, row: Sequence[Any]) -> int | None:
            """Insert one row; returns its id, None if a row has its unique key."""

    class Transaction(Connection, Protocol):
        """A writing transaction."""

        def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
            """Execute one statement for many rows of parameters; returns how many rows it met."""

        def insert_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[int]:
            """Insert rows; returns their ids in order."""

        def insert_unless_twins(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
            """Insert those rows whose unique keys no other row has. On servers only."""

    class Database(Connection, Protocol):
        """One connection to a database, opened at first use and again after `close` or a loss."""

        family: str
        conflicts: int
        """How often a statement or transaction was repeated because of a concurrent one."""

        def many(self, values: Iterable[Any]) -> Any:
            """Make one parameter of all these values; there must be some."""

        def transact(self, work: Callable[[Transaction], T], read_back: Callable[[], T | None] | None = None) -> T:
            """Do the work in a transaction, and repeat it after a conflict with a concurrent one.

            If the answer to its COMMIT got lost, `read_back` returns the work's result, or None if it
            isn't in the database. Without `read_back` the work must be safe to do twice.
            """

        def version(self, table: str) -> str | None:
            """Return the revision of the tables, as `table` has it; None where there is none yet."""

        def read_clock(self) -> Measured | None:
            """Read the database's clock; None where that is the host's."""

        def lock(self, number: int) -> bool:
            """Take a lock that lasts as long as the connection; False if another one has it."""

        def has_other_writers(self) -> bool:
            """Tell whether other servers take writes to the same tables, where this one's locks don't count."""

        def set_patience(self, seconds: float) -> None:
            """Set for how long a statement is tried again while the database is unreachable or locked."""

        def set_statement_limit(self, seconds: float) -> None:
            """Have each reading statement ended that takes longer; it raises TooSlow. On servers writing ones, too."""

        def identity(self) -> Sequence[Any]:
            """Return the values that identify this database; from `IDENTITY`."""

        def schema(self) -> str | None:
            """Return the part of the database that holds the tables, where there are several."""

        def is_replaced(self) -> bool:
            """Tell whether the database was replaced; the next statement opens the new one. Called often."""

        def close(self) -> None:
            """Close the connection; the next statement opens another one."""


class Duplicate(Exception):
    """A unique index has such a row already."""


class Missing(Unavailable):
    """There is no such table."""


GONE = "a table of the queue is gone: restore it from a backup"
"""What a person is told where tables were dropped under a process."""


class Conflict(Exception):
    """Rows were changed by a concurrent transaction: this one must be repeated from its start."""
