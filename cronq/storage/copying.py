"""Copy a queue into another database: jobs in all states with their ids, attempts, groups, pauses and schedules.

The source must not change meanwhile: its queues are paused and nothing runs. In the target all of these
queues are paused, too, until the copy is complete; a row of the table of pauses marks a copy in progress,
so that an interrupted one is continued, and a database that has jobs of its own is left alone.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.errors import InvalidInput, TryLater
from cronq.storage.schema import tables as schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cronq.storage.drivers.database import Row, Transaction
    from cronq.storage.tables import Tables

MARK = "copy in progress"
"""The name, among the target's paused queues, that marks a copy in progress; no queue can have it."""

_TEMPORARY = 0
"""The `paused_at` of queues that are paused in the target only until the copy is complete."""

_BATCH = 500
_LEFT_OUT = frozenset({"paused", "workers", "leases", "tails", "progress", "declarations", "runs", "schema"})
"""Tables that are copied in another way, or that belong to the hosts and workers of one database."""


class Counts(NamedTuple):
    """The numbers of rows of a queue, to compare two queues."""

    jobs: list[tuple[str, str, int]]
    attempts: int
    groups: int
    edges: int
    """The number of pairs of a job and a job or batch that it comes after."""


class Copier:
    """Copies the queue of one open database to another."""

    def __init__(self, source: Tables, target: Tables) -> None:
        self._source = source
        self._target = target
        prefix = source.config.table_prefix
        self._tables = {
            name.removeprefix(prefix): [column.name for column in table.columns if column.name != "enqueue_token"]
            for name, table in schema_of(prefix).tables.items()
        }

    def copy(self, copied: Callable[[int], None]) -> Counts:
        """Copy everything; returns the counts, which are the same in both. Calls `copied` with the size of each batch.

        Raises InvalidInput if the target has jobs of its own, TryLater if the source has changed.
        """
        self._begin()
        last = 0
        while batch := self._rows(self._source, "jobs", "id > ?", (last,)):
            self._copy_jobs(batch, after=last)
            last = batch[-1][self._place("jobs", "id")]
            copied(len(batch))
        self._copy_the_rest()
        counts = self._verified()
        self._end()
        return counts

    # The beginning and the end

    def _begin(self) -> None:
        paused = {row[0] for row in self._target.query(self._target.sql.claim.paused_queues)}
        if MARK in paused:
            return
        if self._target.query(f"SELECT 1 FROM {self._name(self._target, 'jobs')} LIMIT 1"):
            message = "the database has jobs already: a queue can only be copied into an empty one"
            raise InvalidInput(message)
        self._target.open().transact(self._mark)

    def _mark(self, tx: Transaction) -> None:
        """Pause all queues in the target: those paused in the source for good, the others until the end."""
        found = self._source.query(f"SELECT queue, paused_at FROM {self._name(self._source, 'paused')}")
        pauses: dict[str, int] = {row[0]: row[1] for row in found}
        for name in [MARK, *sorted(pauses)]:
            tx.execute(self._target.sql.admin.resume, (name,))
            tx.execute(self._target.sql.admin.pause, (name, pauses.get(name, _TEMPORARY)))

    def _end(self) -> None:
        for table in (table for table in self._copied() if "id" in self._tables[table]):
            name = self._name(self._target, table)
            statement = self._target.sql.dialect.after_given_ids(name)
            if statement and self._target.query(f"SELECT 1 FROM {name} LIMIT 1"):
                self._target.open().transact(partial(_query, statement))
        sql = f"DELETE FROM {self._name(self._target, 'paused')} WHERE paused_at = ?"
        self._target.open().transact(lambda tx: tx.execute(sql, (_TEMPORARY,)))

    def _copied(self) -> list[str]:
        return [table for table in self._tables if table not in _LEFT_OUT]

    def _verified(self) -> Counts:
        there, here = self._counts(self._target), self._counts(self._source)
        if there != here:
            number, of = sum(row[-1] for row in there.jobs), sum(row[-1] for row in here.jobs)
            message = f"{number:,} of {of:,} jobs are the same: the source has changed meanwhile; copy again"
            raise TryLater(message)
        return there

    def _counts(self, tables: Tables) -> Counts:
        jobs = tables.query(f"SELECT queue, state, count(*) FROM {self._name(tables, 'jobs')} GROUP BY queue, state")
        attempts, groups, edges = (
            tables.query(f"SELECT count(*) FROM {self._name(tables, table)}")[0][0]
            for table in ("attempts", "groups", "edges")
        )
        return Counts(sorted((row[0], row[1], row[2]) for row in jobs), attempts, groups, edges)

    # Jobs and their attempts

    def _copy_jobs(self, batch: Sequence[Row], *, after: int) -> None:
        """Replace the target's jobs in the id range of a batch by those of the batch."""
        ids = [row[self._place("jobs", "id")] for row in batch]
        there = self._rows(self._target, "jobs", "id > ? AND id <= ?", (after, ids[-1]))
        attempts = self._attempts(self._source, ids)
        if _same(there, batch) and _same(self._attempts(self._target, ids), attempts):
            return
        self._target.open().transact(partial(self._replace, [row[0] for row in there], batch, attempts))

    def _replace(self, gone: Sequence[int], jobs: Sequence[Row], attempts: Sequence[Row], tx: Transaction) -> None:
        if gone:
            many = self._target.database.many(sorted({*gone}))
            in_list = self._target.sql.dialect.in_list
            tx.execute(f"DELETE FROM {self._name(self._target, 'attempts')} WHERE job_id {in_list}", (many,))
            tx.execute(f"DELETE FROM {self._name(self._target, 'jobs')} WHERE id {in_list}", (many,))
        tx.execute_many(self._insert("jobs"), jobs)
        if attempts:
            tx.execute_many(self._insert("attempts"), attempts)

    def _attempts(self, tables: Tables, ids: Sequence[int]) -> list[Row]:
        sql = (
            f"SELECT {self._columns('attempts')} FROM {self._name(tables, 'attempts')}"
            f" WHERE job_id {tables.sql.dialect.in_list} ORDER BY id"
        )
        return tables.query(sql, (tables.database.many(ids),))

    def _copy_the_rest(self) -> None:
        """Copy groups, incidents, schedules and the like: small tables, each replaced as a whole."""
        for table in self._copied():
            if table not in ("jobs", "attempts"):
                rows = self._source.query(f"SELECT {self._columns(table)} FROM {self._name(self._source, table)}")
                self._target.open().transact(partial(self._replace_table, table, rows))

    def _replace_table(self, table: str, rows: Sequence[Row], tx: Transaction) -> None:
        tx.execute(f"DELETE FROM {self._name(self._target, table)}")
        if rows:
            tx.execute_many(self._insert(table), rows)

    # Statements

    def _rows(self, tables: Tables, table: str, condition: str, parameters: tuple[Any, ...]) -> list[Row]:
        sql = (
            f"SELECT {self._columns(table)} FROM {self._name(tables, table)} WHERE {condition}"
            f" ORDER BY id LIMIT {_BATCH}"
        )
        return tables.query(sql, parameters)

    def _insert(self, table: str) -> str:
        holes = ", ".join("?" * len(self._tables[table]))
        return f"INSERT INTO {self._name(self._target, table)} ({self._columns(table)}) VALUES ({holes})"

    def _columns(self, table: str) -> str:
        return ", ".join(f'"{column}"' for column in self._tables[table])

    def _place(self, table: str, column: str) -> int:
        return self._tables[table].index(column)

    def _name(self, tables: Tables, table: str) -> str:
        return f"{tables.config.table_prefix}{table}"


def _same(some: Iterable[Row], others: Iterable[Row]) -> bool:
    return [tuple(row) for row in some] == [tuple(row) for row in others]


def _query(sql: str, tx: Transaction) -> None:
    tx.query(sql)
