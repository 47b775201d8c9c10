"""Store schedules, the decisions on their due times, and the ledger of these.

Each due time is decided once in the whole cluster, for two reasons: a decision changes the schedule's row only if it
is as it was read, and a due time can have only one row in the ledger.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from cronq.model.schedule import ENQUEUED, SKIPPED, Decided, Decision, Due, StoredSchedule, Timing
from cronq.storage.declarations import Declarations
from cronq.storage.drivers.database import Duplicate
from cronq.times import in_zone

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cronq.model.job import Enqueued, NewJob
    from cronq.storage.drivers.database import Transaction
    from cronq.storage.enqueue import Inserts
    from cronq.storage.tables import Tables
    from cronq.storage.wake import Wake

_INSTALLATION = "installation"
_EVER = 2**62
_FIRST = -(2**62)
KEPT_AT_LEAST = 20
"""Rows of the ledger that each schedule keeps, however old they are."""


class LedgerEntry(NamedTuple):
    """The decision of one row of the ledger, with the state and instants of its job, if that still exists."""

    outcome: str
    times: int
    state: str | None
    started_at: int | None
    finished_at: int | None


class Schedules:
    """Reads schedules, decides their due times and keeps the ledger."""

    def __init__(self, tables: Tables, inserter: Inserts, wake: Wake) -> None:
        self.declarations = Declarations(tables)
        self._sql = tables.sql
        self._tables = tables
        self._inserter = inserter
        self._wake = wake

    # Reading

    def due(self, now: int, *, limit: int) -> list[StoredSchedule]:
        """Read the schedules with a due time to decide at the instant `now`, the earliest first."""
        return [StoredSchedule._make(row) for row in self._tables.query(self._sql.schedules.due, (now, limit))]

    def get(self, name: str) -> StoredSchedule | None:
        """Read the schedule with this name; None if there is none."""
        rows = self._tables.query(self._sql.schedules.one, (name,))
        return StoredSchedule._make(rows[0]) if rows else None

    def all(self) -> list[StoredSchedule]:
        """Read all schedules, sorted by name."""
        return [StoredSchedule._make(row) for row in self._tables.query(self._sql.schedules.all)]

    def installation(self) -> str:
        """Return the id of this installation, the same text on all hosts of this database, made at first use."""
        asked = self._tables.query(self._sql.schedules.installation, (_INSTALLATION,))
        if asked:
            return asked[0][0]  # type: ignore[no-any-return]
        made = os.urandom(8).hex()
        try:
            self._tables.open().execute(self._sql.schedules.first_installation, (_INSTALLATION, made))
        except Duplicate:  # another host has stored one, or an answer got lost
            return self.installation()
        return made

    # Deciding

    def decide(self, schedule: StoredSchedule, decision: Decision, *, host: str) -> list[Decided] | None:
        """Enqueue the jobs of a decision and record it in the ledger, in one transaction.

        Returns the rows of the ledger; None if the schedule isn't as it was read: another process has decided
        or changed it, or this decision is in the database and the answer to its COMMIT got lost.
        """
        while True:
            attempt = _Attempt(schedule, decision, host, self._tables.clock.now())
            try:
                rows = self._tables.open().transact(partial(self._decide, attempt))
            except Duplicate:
                decision = self._without_decided(schedule.name, decision)
                continue
            self._wake.enqueued(attempt.jobs, attempt.enqueued, attempt.now)
            return rows

    def _decide(self, attempt: _Attempt, tx: Transaction) -> list[Decided] | None:
        schedule, decision = attempt.schedule, attempt.decision
        attempt.jobs, attempt.enqueued = [], []
        if not self._change(tx, self._sql.schedules.advance, schedule, decision.timing):
            return None
        rows = []
        room = self._room(tx, decision)
        for due in decision.due:
            rows.append(self._enqueue(tx, attempt, due, room))
            room = None if room is None else room - 1
        decided = [*decision.passed, *_merged(rows)]
        rows = [part for row in decided for part in self._undecided(tx, decision, row)]
        rows.sort(key=lambda row: row.fire_at)
        for row in rows:
            tx.execute(self._sql.schedules.record, row)
        return rows

    def _undecided(self, tx: Transaction, decision: Decision, row: Decided) -> list[Decided]:
        """Return the row; of a run, rows for those due times that the ledger doesn't have, as after a replay."""
        if row.times == 1:
            return [row]
        there = tx.query(self._sql.schedules.ledger, (row.schedule, row.since, row.fire_at + 1, _EVER))
        return decision.without(row, [Decided._make(one).fire_at for one in there])

    def _change(self, tx: Transaction, sql: str, schedule: StoredSchedule, values: Sequence[object]) -> bool:
        """Change the schedule's row; returns False if it differs from `schedule`, which was read before."""
        read = (schedule.name, schedule.next_at, schedule.definition, schedule.paused_at)
        return bool(tx.execute(sql, (*values, *read)).rowcount)

    def _room(self, tx: Transaction, decision: Decision) -> int | None:
        if decision.room is None or not decision.due:
            return None
        unfinished: int = tx.query(self._sql.schedules.unfinished_in_group, (decision.due[0].job.group,))[0][0]
        return decision.room - unfinished

    def _enqueue(self, tx: Transaction, attempt: _Attempt, due: Due, room: int | None) -> Decided:
        if room is not None and room <= 0:
            return attempt.row(due, SKIPPED, reason=f"{attempt.decision.room} jobs of it are unfinished")
        new = self._inserter.accept_in(tx, due.job, now=attempt.now)
        if new.existing:
            return attempt.row(due, SKIPPED, reason=f"job {new.id} is unfinished")
        local = in_zone(due.fire_at, attempt.decision.zone)
        tx.execute(self._sql.schedules.mark_job, (attempt.schedule.name, local, new.id))
        attempt.jobs.append(due.job)
        attempt.enqueued.append(new)
        return attempt.row(due, ENQUEUED, job_id=new.id)

    def _without_decided(self, name: str, decision: Decision) -> Decision:
        """Return the decision without due times that are in the ledger already, as after a reset; runs stay.

        Raises Duplicate if there is none.
        """
        instants = [due.fire_at for due in decision.due] + [row.fire_at for row in decision.passed if row.times == 1]
        found = self._tables.query(self._sql.schedules.decided, (name, self._tables.database.many(instants)))
        decided = {row[0] for row in found}
        if not decided:
            raise Duplicate(name)
        return decision._replace(
            due=tuple(due for due in decision.due if due.fire_at not in decided),
            passed=tuple(row for row in decision.passed if row.times > 1 or row.fire_at not in decided),
        )

    def set_times(self, schedule: StoredSchedule, timing: Timing) -> bool:
        """Change the times of a schedule; returns False if the schedule isn't as it was read."""
        transact = self._tables.open().transact
        return transact(lambda tx: self._change(tx, self._sql.schedules.advance, schedule, timing))

    def enqueue(self, schedule: StoredSchedule, decision: Decision, *, reason: str) -> list[Decided]:
        """Enqueue jobs by hand, each for its due time, except those for which the ledger has a job already.

        Returns the rows of the ledger: enqueued, or skipped if a job of the schedule is unfinished.
        """
        if not decision.due:
            return []
        attempt = _Attempt(schedule, decision, os.uname().nodename, self._tables.clock.now())
        rows = self._tables.open().transact(partial(self._enqueue_by_hand, attempt, reason))
        self._wake.enqueued(attempt.jobs, attempt.enqueued, attempt.now)
        return rows

    def _enqueue_by_hand(self, attempt: _Attempt, reason: str, tx: Transaction) -> list[Decided]:
        name, dues = attempt.schedule.name, attempt.decision.due
        tx.query(self._sql.schedules.lock, (name,))
        if attempt.enqueued and (recorded := self._recorded_by_hand(attempt, reason, tx)):
            return recorded
        attempt.jobs, attempt.enqueued = [], []
        first, last = dues[0].fire_at, dues[-1].fire_at
        there = {row[0] for row in tx.query(self._sql.schedules.enqueued, (name, first, last + 1))}
        rows = [self._enqueue(tx, attempt, due, None) for due in dues if due.fire_at not in there]
        rows = [row._replace(reason=reason) if row.outcome == ENQUEUED else row for row in rows]
        enqueued = [row for row in rows if row.outcome == ENQUEUED]
        self._take_out(tx, attempt.decision, enqueued)
        for row in enqueued:
            tx.execute(self._sql.schedules.record, row)
        return rows

    def _recorded_by_hand(self, attempt: _Attempt, reason: str, tx: Transaction) -> list[Decided]:
        """Read the rows of this attempt's jobs, oldest first, if the answer to its COMMIT got lost.

        The lock of the schedule is held: a COMMIT that the server hadn't carried out yet is over.
        """
        dues, ours = attempt.decision.due, (attempt.host, attempt.now, reason)
        span = attempt.schedule.name, dues[0].fire_at, dues[-1].fire_at + 1, _EVER
        rows = [Decided._make(row) for row in reversed(tx.query(self._sql.schedules.ledger, span))]
        return [row for row in rows if row.job_id is not None and (row.host, row.decided_at, row.reason) == ours]

    def _take_out(self, tx: Transaction, decision: Decision, enqueued: Sequence[Decided]) -> None:
        """Take due times that were enqueued after all out of the runs in which the ledger has them."""
        if not enqueued:
            return
        instants = [row.fire_at for row in enqueued]
        bounds = enqueued[0].schedule, instants[0], instants[-1]
        for run in map(Decided._make, tx.query(self._sql.schedules.without_job, bounds)):
            within = slice(bisect_left(instants, run.since), bisect_right(instants, run.fire_at))
            own = tx.query(self._sql.schedules.enqueued, (run.schedule, run.since, run.fire_at + 1))
            left = decision.without(run, [*instants[within], *(fire_at for (fire_at,) in own)])
            if left != [run]:
                tx.execute(self._sql.schedules.erase, (run.schedule, run.fire_at))
                for row in left:
                    tx.execute(self._sql.schedules.record, row)

    # Pausing, notices, removing

    def pause(self, name: str, *, until: int | None, by: str, reason: str | None) -> bool:
        """Skip the due times from now on, up to `until` if given; returns False if there is no such schedule."""
        how = (self._tables.clock.now(), until, by, reason, name)
        return bool(self._tables.open().execute(self._sql.schedules.pause, how).rowcount)

    def resume(self, name: str) -> bool:
        """Resume a paused schedule; returns False if it isn't paused."""
        return bool(self._tables.open().execute(self._sql.schedules.resume, (name,)).rowcount)

    def watched(self) -> list[StoredSchedule]:
        """Read the schedules that have an `alert_after`, or about which a notice was sent."""
        return [StoredSchedule._make(row) for row in self._tables.query(self._sql.schedules.watched)]

    def mark_alerted(self, name: str, *, since: int | None) -> bool:
        """Record the instant of a notice that a schedule has no success, or None once it has success again.

        Returns False if another process has done so.
        """
        sql, database = self._sql.schedules, self._tables.open()
        changed = (
            database.execute(sql.end_alert, (name,)) if since is None else database.execute(sql.alert, (since, name))
        )
        return bool(changed.rowcount)

    def remove(self, name: str) -> bool:
        """Delete the schedule, its declarations and its ledger; returns False if there is none."""
        return self._tables.open().transact(partial(self._remove, name))

    def _remove(self, name: str, tx: Transaction) -> bool:
        found = tx.execute(self._sql.schedules.remove, (name,)).rowcount
        tx.execute(self._sql.schedules.undeclare_everywhere, (name,))
        tx.execute(self._sql.schedules.forget_ledger, (name,))
        return bool(found)

    # The ledger

    def ledger(self, name: str, *, since: int = _FIRST, until: int = _EVER, limit: int = 1000) -> list[Decided]:
        """Read the decisions on due times from `since` up to, but not at, `until`, newest first."""
        rows = self._tables.query(self._sql.schedules.ledger, (name, since, until, limit))
        return [Decided._make(row) for row in rows]

    def enqueued(self, name: str, *, since: int, until: int) -> set[int]:
        """Read the due times from `since` up to, but not at, `until` for which a job was enqueued."""
        return {row[0] for row in self._tables.query(self._sql.schedules.enqueued, (name, since, until))}

    def outcomes(self, name: str, *, limit: int) -> list[LedgerEntry]:
        """Read the newest decisions of a schedule with the states of their jobs, newest first."""
        return [LedgerEntry._make(row) for row in self._tables.query(self._sql.schedules.latest_jobs, (name, limit))]

    def last_decisions(self) -> list[Decided]:
        """Read the decision on the newest due time of each schedule."""
        return [Decided._make(row) for row in self._tables.query(self._sql.schedules.last_decisions)]

    def prune(self, *, before: int) -> int:
        """Delete decisions on due times before an instant, except the newest of each schedule; returns how many."""
        return sum(self._prune(schedule.name, before) for schedule in self.all())

    def _prune(self, name: str, before: int) -> int:
        kept = self._tables.query(self._sql.schedules.nth_newest, (name, KEPT_AT_LEAST - 1))
        if not kept:
            return 0
        limit = min(before, kept[0][0])
        return self._tables.open().execute(self._sql.schedules.prune_ledger, (name, limit)).rowcount


class _Attempt:
    """One try of the transaction of a decision, and the jobs that it enqueued."""

    def __init__(self, schedule: StoredSchedule, decision: Decision, host: str, now: int) -> None:
        self.schedule = schedule
        self.decision = decision
        self.host = host
        self.now = now
        self.jobs: list[NewJob] = []
        self.enqueued: list[Enqueued] = []

    def row(self, due: Due, outcome: str, *, reason: str | None = None, job_id: int | None = None) -> Decided:
        """Make the ledger's row for one due time."""
        return Decided(
            self.schedule.name, due.fire_at, due.fire_at, 1, outcome, reason, job_id, due.late, self.host, self.now
        )


def _merged(rows: Iterable[Decided]) -> list[Decided]:
    """Merge successive rows that were skipped for the same reason into one."""
    merged: list[Decided] = []
    for row in rows:
        last = merged[-1] if merged else None
        if last and last.outcome == row.outcome == SKIPPED and last.reason == row.reason:
            merged[-1] = row._replace(since=last.since, times=last.times + row.times)
        else:
            merged.append(row)
    return merged
