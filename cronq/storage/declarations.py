"""Store the declarations of hosts, and the rows of schedules that follow from them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cronq.model.schedule import EVERY_HOST, Declaration, StoredSchedule, Timing
from cronq.storage.drivers.database import Duplicate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.storage.drivers.database import Transaction
    from cronq.storage.tables import Tables


class Declarations:
    """Reads and writes declarations, and adds and changes the schedules that they declare."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sql = tables.sql

    def of(self, host: str) -> dict[str, Declaration]:
        """Read the declarations of a host, by the schedule's name."""
        rows = self._tables.query(self._sql.schedules.declared_by, (host,))
        return {row[1]: Declaration._make(row) for row in rows}

    def all(self) -> list[Declaration]:
        """Read the declarations of all hosts, sorted by the schedule's name and the host."""
        return [Declaration._make(row) for row in self._tables.query(self._sql.schedules.all_declarations)]

    def add(self, declaration: Declaration, definition: str, timing: Timing) -> bool:
        """Store a new schedule and its declaration; returns False if there is a schedule with this name."""
        row = StoredSchedule(declaration.name, definition, *timing, None, None, None, None, None)
        try:
            self._tables.open().transact(partial(self._add, declaration, row))
        except Duplicate:
            return False
        return True

    def _add(self, declaration: Declaration, row: StoredSchedule, tx: Transaction) -> None:
        tx.execute(self._sql.schedules.add, row)
        self._declare(tx, declaration)

    def change(self, declaration: Declaration, stored: StoredSchedule, definition: str, timing: Timing) -> bool:
        """Give a schedule the definition that a host declares; returns False if its row is no longer as `stored`."""
        return self._tables.open().transact(partial(self._change, declaration, stored, definition, timing))

    def _change(
        self, declaration: Declaration, stored: StoredSchedule, definition: str, timing: Timing, tx: Transaction
    ) -> bool:
        read = (stored.name, stored.next_at, stored.definition, stored.paused_at)
        if not tx.execute(self._sql.schedules.define, (definition, *timing, *read)).rowcount:
            return False
        self._declare(tx, declaration)
        return True

    def declare(self, declaration: Declaration) -> None:
        """Store a declaration of a schedule that already has the declared definition."""
        self._tables.open().transact(partial(self._declare, declaration=declaration))

    def _declare(self, tx: Transaction, declaration: Declaration) -> None:
        tx.execute(self._sql.schedules.declare, declaration)

    def see(self, host: str, names: Sequence[str], now: int) -> None:
        """Record that a host still declares these schedules as before, seen at the instant `now`."""
        if names:
            database = self._tables.open()
            database.execute(self._sql.schedules.see, (now, host, database.many(names)))

    def withdraw(self, host: str, names: Sequence[str]) -> None:
        """Delete a host's declarations of these schedules."""
        if names:
            database = self._tables.open()
            database.execute(self._sql.schedules.undeclare, (host, database.many(names)))

    def withdraw_all(self, host: str) -> None:
        """Delete all declarations of a host."""
        if self.of(host):  # read first: a DELETE takes the write lock even if it deletes nothing
            self._tables.open().execute(self._sql.schedules.undeclare_host, (host,))

    def withdraw_others(self, host: str) -> None:
        """Delete the declarations of all other hosts."""
        self._tables.open().execute(self._sql.schedules.undeclare_others, (host,))

    def forget(self, *, before: int) -> None:
        """Delete declarations not seen since an instant, except those for every host."""
        self._tables.open().execute(self._sql.schedules.forget_declarations, (before,))

    def rename(self, old: str, new: str) -> bool:
        """Rename a schedule with its watermark, pause and ledger; returns False if `old` is gone or `new` exists."""
        try:
            return self._tables.open().transact(partial(self._rename, old, new))
        except Duplicate:
            return False

    def _rename(self, old: str, new: str, tx: Transaction) -> bool:
        if not tx.execute(self._sql.schedules.rename, (new, old)).rowcount:
            return False
        tx.execute(self._sql.schedules.rename_ledger, (new, old))
        return True


def is_fresh(declaration: Declaration, since: int) -> bool:
    """Tell whether a declaration counts: it was seen since that instant, or it holds for every host."""
    return declaration.host == EVERY_HOST or declaration.seen_at >= since
