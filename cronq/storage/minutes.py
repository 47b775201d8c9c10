"""Count the attempts that end in each minute, by queue; the figures remain when jobs are cleared.

Each runner counts the attempts that it settles, and adds rows of its own: no two write the same row, and a row that was
written though the answer got lost isn't written again. The rows of all runners are folded into one for each minute,
later one for each hour, and at last one for all older time. A runner that is killed loses what it has not written yet:
the counts of a minute at most.
"""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from cronq.model.claimed_job import State
from cronq.storage.drivers.database import Duplicate
from cronq.storage.sql.minutes import BY_HOUR, BY_MINUTE, COUNTED, RAW
from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cronq.model.outcome import Settlement
    from cronq.storage.drivers.database import Row, Transaction
    from cronq.storage.tables import Tables

MINUTE = 60 * SECOND
_HOUR = 60 * MINUTE
_DAY = 24 * _HOUR

_FINISHED = State.FINISHED
_AT_ONCE = 500
"""The number of rows that one transaction folds."""


class _Fold(NamedTuple):
    """Rows of this kind become rows of the next at this age, one for each `unit` (0: a single one); in microseconds."""

    kind: int
    age: int
    unit: int


_FOLDS = (_Fold(RAW, 10 * MINUTE, MINUTE), _Fold(BY_MINUTE, 2 * _DAY, _HOUR), _Fold(BY_HOUR, 400 * _DAY, 0))


class _Raced(Exception):
    """Another process folds the same rows."""


class Minutes:
    """Counts ended attempts by minute, queue and state; writes the counts, and folds old ones."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._counts: defaultdict[tuple[int, str, str], int] = defaultdict(int)
        self._written: list[tuple[int | str, ...]] = []
        """Rows that are to be written; they are kept until it is known that they are in the database."""
        self._source = os.urandom(8).hex()
        self._part = 0

    def count(self, settlements: Sequence[Settlement], lost: Sequence[int]) -> None:
        """Count attempts that ended, except those of lost leases; writes nothing."""
        # Most have the queue, minute and state of the one before: a key for each would take three times as long.
        queue, until, alike = "", 0, 0
        for settled in settlements:
            ended, state = settled.outcome.finished_at, settled.next.state
            if state is _FINISHED and until - MINUTE <= ended < until and settled.job.queue == queue and not lost:
                alike += 1
            elif not lost or settled.job.id not in lost:
                if alike:
                    self._counts[until - MINUTE, queue, _FINISHED] += alike
                queue, until, alike = settled.job.queue, ended - ended % MINUTE + MINUTE, 0
                self._counts[until - MINUTE, queue, state] += 1
        if alike:
            self._counts[until - MINUTE, queue, _FINISHED] += alike

    def write(self) -> None:
        """Write the counts to the database; those that can't be written are kept for the next call."""
        if not self._written and self._counts:
            self._written = self._rows()
        if self._written:
            with suppress(Duplicate):  # the answer to an earlier COMMIT got lost
                self._tables.open().transact(self._add)
            self._written = []

    def _rows(self) -> list[tuple[int | str, ...]]:
        by_place: dict[tuple[int, str], dict[str, int]] = defaultdict(dict)
        for (minute, queue, state), number in self._counts.items():
            by_place[minute, queue][state] = number
        self._counts.clear()
        self._part += 1
        source = f"{self._source}.{self._part}"
        return [
            (RAW, minute, queue, source, *(figures.get(state, 0) for state in COUNTED))
            for (minute, queue), figures in sorted(by_place.items())
            if any(state in figures for state in COUNTED)
        ]

    def _add(self, tx: Transaction) -> None:
        tx.execute_many(self._tables.sql.minutes.add, self._written)

    def fold(self) -> None:
        """Fold old rows into fewer; the sums stay the same, also if a process dies or several fold at once."""
        now = self._tables.clock.now()
        for fold in _FOLDS:
            before = now - fold.age
            before -= before % (fold.unit or _HOUR)
            oldest = self._tables.query(self._tables.sql.minutes.oldest, (fold.kind,))[0][0]
            try:
                while oldest is not None and oldest < before:
                    oldest = self._tables.open().transact(partial(self._fold, fold, before))
            except (_Raced, Duplicate):
                return

    def _fold(self, fold: _Fold, before: int, tx: Transaction) -> int | None:
        sql = self._tables.sql.minutes
        rows = tx.query(sql.to_fold, (fold.kind, before, _AT_ONCE))
        removed = sum(tx.execute(sql.remove, (fold.kind, *row[:3])).rowcount for row in rows)
        if removed != len(rows):
            raise _Raced
        for (minute, queue), figures in sorted(_sums(rows, fold.unit).items()):
            place = (fold.kind + 1, minute, queue, "")
            if not tx.execute(sql.raise_by, (*figures, *place)).rowcount:
                tx.execute(sql.add, (*place, *figures))
        return rows[-1][0] if len(rows) == _AT_ONCE else None


def _sums(rows: Iterable[Row], unit: int) -> dict[tuple[int, str], list[int]]:
    """Sum the figures by the beginning of the unit and the queue."""
    sums: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0] * len(COUNTED))
    for minute, queue, _, *figures in rows:
        known = sums[minute - minute % unit if unit else 0, queue]
        for index, number in enumerate(figures):
            known[index] += number
    return sums


def totals(tables: Tables) -> list[tuple[str, str, int]]:
    """Return queue, state and the number of attempts ended since the queue was made, which never decreases."""
    found = tables.query(tables.sql.minutes.totals)
    return [(row[0], state, int(number)) for row in found for state, number in zip(COUNTED, row[1:], strict=True)]
