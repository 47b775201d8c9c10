"""sqlite3 alone, inserting the row that cronq inserts: the limit that the disk and the file format set."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from benchmarks.peer import Peer
from benchmarks.peers import cronq_sqlite
from benchmarks.work import Order

ROWS_A_COMMIT = 100


class Queue(Peer):
    """No queue: one INSERT and one COMMIT, into the table that cronq makes, with its indexes."""

    name = "bare sqlite3"
    promise = "a row on the disk (synchronous=FULL), which nothing reads"
    drained = None

    def open(self) -> None:
        pattern = cronq_sqlite.Queue(self.place)
        pattern.open()
        pattern.put(Order(0, None))
        self._connection = sqlite3.connect(self.place / "cronq.db", isolation_level=None)
        self._connection.execute("PRAGMA synchronous = FULL")
        [mode] = self._connection.execute("PRAGMA journal_mode").fetchone()
        assert mode == "wal", mode
        self._insert, self._row = self._statement()

    def put(self, order: Order) -> None:  # noqa: ARG002 - the row is always the same
        self._connection.execute(self._insert, self._row)

    def put_many(self, orders: Sequence[Order]) -> None:
        for start in range(0, len(orders), ROWS_A_COMMIT):
            rows = [self._row] * len(orders[start : start + ROWS_A_COMMIT])
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(self._insert, rows)
            self._connection.execute("COMMIT")

    def _statement(self) -> tuple[str, tuple[Any, ...]]:
        cursor = self._connection.execute("SELECT * FROM cronq_jobs")
        row = cursor.fetchone()
        columns = [description[0] for description in cursor.description]
        given = {name: value for name, value in zip(columns, row, strict=True) if value is not None}
        del given["id"]
        names, marks = ", ".join(given), ", ".join("?" * len(given))
        return f"INSERT INTO cronq_jobs ({names}) VALUES ({marks})", tuple(given.values())
