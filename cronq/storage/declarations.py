"""What each host says about schedules, and the rows of schedules that follow from it."""

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
    """The rows of hosts. A host that says the same as before changes no schedule."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sql = tables.sql

    def of(self, host: str) -> dict[str, Declaration]:
        """What a host said last, by the schedule's name."""
        rows = self._tables.query(self._sql.schedules.declared_by, (host,))
        return {row[1]: Declaration._make(row) for row in rows}

    def all(self) -> list[Declaration]:
        """What all hosts say, by the schedule's name and the host."""
        return [Declaration._make(row) for row in self._tables.query(self._sql.schedules.all_declarations)]

    def add(self, declaration: Declaration, definition: str, timing: Timing) -> bool:
        """Store a schedule that a host declares; False if there is one with this name."""
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
        """Give a schedule the definition that a host declares; False where it isn't as it was read."""
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
        """Store what a host says, where the schedule is already as it declares."""
        self._tables.open().transact(partial(self._declare, declaration=declaration))

    def _declare(self, tx: Transaction, declaration: Declaration) -> None:
        tx.execute(self._sql.schedules.declare, declaration)

    def see(self, host: str, names: Sequence[str], now: int) -> None:
        """Note that a host still says the same about these schedules."""
        if names:
            database = self._tables.open()
            database.execute(self._sql.schedules.see, (now, host, database.many(names)))

    def withdraw(self, host: str, names: Sequence[str]) -> None:
        """Forget what a host said about these schedules."""
        if names:
            database = self._tables.open()
            database.execute(self._sql.schedules.undeclare, (host, database.many(names)))

    def withdraw_all(self, host: str) -> None:
        """Forget all that a host said."""
        if self.of(host):  # a look first: a statement that may write takes the write lock even for nothing
            self._tables.open().execute(self._sql.schedules.undeclare_host, (host,))

    def withdraw_others(self, host: str) -> None:
        """Forget what all other hosts said."""
        self._tables.open().execute(self._sql.schedules.undeclare_others, (host,))

    def forget(self, *, before: int) -> None:
        """Forget what hosts said that haven't been seen since an instant."""
        self._tables.open().execute(self._sql.schedules.forget_declarations, (before,))

    def rename(self, old: str, new: str) -> bool:
        """Give a schedule a new name with its watermark, pause and ledger; False if that can't be done any more."""
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
    """Whether a declaration counts: its host was seen since then, or it holds for every host."""
    return declaration.host == EVERY_HOST or declaration.seen_at >= since
