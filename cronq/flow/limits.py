"""Make jobs under a limit ready while it has free places.

No count of places is stored: a place is taken while its job is ready, running or about to run, as the job's row
shows. So a process that dies leaks no place. The limit's row is locked first and alone; jobs are changed after it,
in the order of their ids, and no transaction locks a limit's row while it holds a lock on a job's.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from cronq.model.job import State
from cronq.storage.flow_stats import in_force
from cronq.storage.sql.limits import ASIDE, BEHIND, ELSEWHERE, PLACE, WAITING
from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from cronq.model.limits import Bounds
    from cronq.storage.drivers.database import Connection, Row, Transaction
    from cronq.storage.groups import Groups
    from cronq.storage.tables import Tables
    from cronq.storage.wake import Wake

    IsUnserved = Callable[[str], bool]

_AT_ONCE = 200
"""The most jobs that one statement reads."""

_SWEPT = 1000
"""The most limits, and the most groups, that one sweep handles."""

_UNSERVED = 60 * SECOND
"""Microseconds after which a ready job loses its place to another one if no worker takes jobs of its queue."""


class HeldPlace(NamedTuple):
    """A place that is taken, and its job."""

    job_id: int
    state: str
    lease_until: int | None
    started_at: int | None
    queue: str
    since: int
    priority: int
    due_at: int

    @property
    def is_taken(self) -> bool:
        """Whether its job is ready, runs, or is claimed to run after another one of its group."""
        return self.state == State.READY or self.lease_until is not None

    @property
    def is_ready(self) -> bool:
        """Whether its job is ready and not claimed, so that it can still be taken back."""
        return self.state == State.READY and self.lease_until is None


class _Visit(NamedTuple):
    """One admission under one limit, in the transaction that holds its lock."""

    tx: Transaction
    name: str
    now: int
    bounds: Bounds
    stopped: set[str]


class Limits:
    """Admits jobs under limits: gives them places, and makes them ready."""

    def __init__(self, tables: Tables, groups: Groups, wake: Wake) -> None:
        self._tables = tables
        self._sql = tables.sql
        self._groups = groups
        self._wake = wake

    # After changes

    def follow(self, ids: Sequence[int]) -> list[int]:
        """Admit jobs after a change of these, which are under limits; returns the ids of the jobs admitted."""
        rows = self._tables.query(self._sql.limits.of, (self._many(ids),))
        leaving = {name for _, name, place, _ in rows if place == PLACE}
        admitted = self.admit({name for _, name, _, _ in rows}, even_full=leaving)
        return admitted + self._advance_all({group for *_, group in rows if group is not None})

    def follow_groups(self, ids: Sequence[int]) -> list[int]:
        """Admit the next jobs under limits of the groups of these jobs, which are under none; returns their ids."""
        found = self._tables.query(self._sql.groups.groups_of, (self._many(ids),))
        return self._advance_all(group for (group,) in found)

    def admit(self, names: Iterable[str], *, even_full: Collection[str] = ()) -> list[int]:
        """Make waiting jobs of these limits ready while there is room; returns their ids.

        Limits without room are skipped, except those of `even_full`, of which a job has ended or the bounds changed.
        """
        admitted: list[int] = []
        with self._wake.gathering():
            for name in sorted(names):
                if name in even_full or self._has_room(name):
                    admitted += self._visit(name, None)
        return admitted

    def open_rates(self) -> list[int]:
        """Admit jobs of limits whose rate allows another start by now; returns their ids."""
        opened = self._tables.query(self._sql.limits.opened, (self._tables.clock.now(),))
        return self._visit_all([name for (name,) in opened])

    def _visit_all(self, names: Sequence[str], unserved: IsUnserved | None = None) -> list[int]:
        with self._wake.gathering():
            return [job_id for name in names for job_id in self._visit(name, unserved)]

    def _visit(self, name: str, unserved: IsUnserved | None) -> list[int]:
        stopped: set[str] = set()
        admitted = self._wake.transact(partial(self._admit, name, unserved, stopped), list)
        return admitted + self._advance_all(stopped)

    def sweep(self, unserved: IsUnserved) -> list[int]:
        """Admit jobs that still wait because a consequence was lost; returns their ids.

        Ready jobs in queues for which `unserved` is true lose their places to others after a minute.
        """
        places = (WAITING, ASIDE)
        with self._wake.gathering():
            admitted = self._advance_all(self._distinct(self._sql.limits.next_group))
            waiting = {name for place in places for name in self._distinct(self._sql.limits.next_waiting, place)}
            return admitted + self._visit_all(sorted(waiting), unserved)

    def _distinct(self, statement: str, *first: int) -> list[str]:
        """Read the first distinct names, by one step in the index for each."""
        names, last = list[str](), ""
        while len(names) < _SWEPT and (last := self._tables.query(statement, (*first, last))[0][0]) is not None:
            names.append(last)
        return names

    # Under the lock of one limit

    def _admit(self, name: str, unserved: IsUnserved | None, stopped: set[str], tx: Transaction) -> list[int]:
        """Admit jobs of one limit; adds to `stopped` the groups of jobs that wait because another one holds theirs."""
        tx.execute(self._sql.limits.lock, (name,))
        bounds = self.bounds(tx, name)
        if bounds is None:
            return []
        visit = _Visit(tx, name, self._tables.clock.now(), bounds, stopped)
        taken = self._without_unused_places(visit)
        if unserved is not None:
            taken = self._moved_on(visit, taken, unserved)
        taken = self._taken_back(visit, taken)
        room = self._room(visit, taken)
        admitted = self._fill(visit, WAITING, room)
        admitted += self._fill(visit, ASIDE, room - len(admitted))
        if bounds.starts is not None:
            self._note_opening(visit, taken, len(admitted))
        return admitted

    def bounds(self, connection: Connection, name: str) -> Bounds | None:
        """Read the bounds in force for a limit; None if it has no row."""
        found = connection.query(self._sql.limits.defined, (self._many([name]),))
        if not found:
            return None
        pattern = found[0][1]
        shared = found if pattern == name else connection.query(self._sql.limits.defined, (self._many([pattern]),))
        return in_force(found[0], shared[0] if shared else found[0])

    def _without_unused_places(self, visit: _Visit) -> list[HeldPlace]:
        """Return the places that are taken; gives up the others, and records their starts if the limit has a rate."""
        held = [HeldPlace._make(row) for row in visit.tx.query(self._sql.limits.places, (visit.name,))]
        free = [one for one in held if not one.is_taken]
        if visit.bounds.starts is not None:
            for one in free:
                if one.started_at is not None:
                    visit.tx.execute(self._sql.limits.start, (visit.name, one.started_at, one.job_id))
        blocked = {one.job_id for one in free if one.state == State.BLOCKED}
        self._move(visit, blocked, PLACE, BEHIND)
        self._move(visit, {one.job_id for one in free} - blocked, PLACE, ELSEWHERE)
        return [one for one in held if one.is_taken]

    def _room(self, visit: _Visit, taken: Sequence[HeldPlace]) -> int:
        concurrency = visit.bounds.concurrency
        room = _AT_ONCE if concurrency is None else concurrency - len(taken)
        if visit.bounds.starts is not None:
            starts, waiting = self._starts(visit, taken)
            room = min(room, visit.bounds.starts - len(starts) - waiting)
        return room

    def _starts(self, visit: _Visit, taken: Sequence[HeldPlace]) -> tuple[list[int], int]:
        """Return the instants of starts within the period, and the number of ready jobs, which may start any moment."""
        since = visit.now - (visit.bounds.period or 0)
        over = [row[0] for row in visit.tx.query(self._sql.limits.started, (visit.name, since))]
        claimed = [one.started_at for one in taken if not one.is_ready and one.started_at is not None]
        return sorted(over + [at for at in claimed if at > since]), sum(one.is_ready for one in taken)

    def _note_opening(self, visit: _Visit, taken: Sequence[HeldPlace], admitted: int) -> None:
        """Store the instant at which the next job may start, if one waits only for that; else none."""
        starts, ready = self._starts(visit, taken)
        over = len(starts) + ready + admitted - (visit.bounds.starts or 0)
        opens = None
        if over >= 0 and visit.tx.query(self._sql.limits.any_waiting, (visit.name,)):
            # A ready job starts now at the earliest, so it counts for at least a whole period from now.
            opens = (starts[over] if over < len(starts) else visit.now) + (visit.bounds.period or 0)
        visit.tx.execute(self._sql.limits.open_at, (opens, visit.name))
        visit.tx.execute(self._sql.limits.forget_starts, (visit.name, visit.now - (visit.bounds.period or 0)))

    def _fill(self, visit: _Visit, place: int, room: int) -> list[int]:
        """Admit up to `room` of the first jobs at `place`; each one that is examined leaves `place`."""
        admitted: list[int] = []
        while len(admitted) < room:
            limit = min(room - len(admitted), _AT_ONCE)
            first = visit.tx.query(self._sql.limits.first, (place, visit.name, limit))
            if not first:
                break
            admitted += self._chosen(visit, place, dict(first))
        return admitted

    def _chosen(self, visit: _Visit, place: int, first: dict[int, str | None]) -> list[int]:
        standing = visit.tx.query(self._sql.limits.standing, (self._many(sorted(first)),))
        waiting = {row[0]: row[3] for row in standing if row[1] == State.PENDING and not row[2]}
        self._move(visit, first.keys() - waiting.keys(), place, ELSEWHERE)
        early = {job_id for job_id, due in waiting.items() if due > visit.now}
        if early:
            visit.tx.execute(self._sql.limits.put_off, (self._many(sorted(early)),))
            self._move(visit, early, place, ELSEWHERE)
        behind = self._behind(visit.tx, {job_id: first[job_id] for job_id in waiting})
        self._move(visit, behind, place, BEHIND)
        visit.stopped.update(group for job_id in behind if (group := first[job_id]) is not None)
        chosen = sorted(waiting.keys() - early - behind)
        if chosen:
            visit.tx.execute(self._sql.limits.admit, (self._many(chosen),))
            self._move(visit, chosen, place, PLACE)
        return chosen

    def _behind(self, tx: Transaction, grouped: dict[int, str | None]) -> set[int]:
        """Return those of the jobs whose group another job holds."""
        groups = sorted({group for group in grouped.values() if group is not None})
        found = tx.query(self._sql.limits.holders, (self._many(groups),)) if groups else []
        held: dict[str | None, int] = dict(found)
        return {job_id for job_id, group in grouped.items() if held.get(group, job_id) not in (job_id, 0)}

    def _taken_back(self, visit: _Visit, taken: Sequence[HeldPlace]) -> list[HeldPlace]:
        """Make ready jobs wait again if there are fewer places than before; returns the places that stay taken.

        Running jobs go on.
        """
        concurrency = visit.bounds.concurrency
        surplus = 0 if concurrency is None else len(taken) - concurrency
        if surplus <= 0:
            return list(taken)
        ready = [one for one in taken if one.is_ready]
        best_first = sorted(ready, key=lambda one: (one.priority, one.due_at, one.job_id))
        return self._send_back(visit, taken, best_first[-surplus:], WAITING)

    def _moved_on(self, visit: _Visit, taken: Sequence[HeldPlace], unserved: IsUnserved) -> list[HeldPlace]:
        old = [one for one in taken if one.is_ready and one.since <= visit.now - _UNSERVED and unserved(one.queue)]
        if not old or not visit.tx.query(self._sql.limits.any_waiting, (visit.name,)):
            return list(taken)
        return self._send_back(visit, taken, old, ASIDE)

    def _send_back(
        self, visit: _Visit, taken: Sequence[HeldPlace], chosen: Sequence[HeldPlace], place: int
    ) -> list[HeldPlace]:
        ids = sorted(one.job_id for one in chosen)
        standing = visit.tx.query(self._sql.limits.standing, (self._many(ids),)) if ids else []
        ready = [row[0] for row in standing if row[1] == State.READY]
        if ready:
            visit.tx.execute(self._sql.limits.take_back, (self._many(ready),))
            self._move(visit, ready, PLACE, place)
        return [one for one in taken if one.job_id not in ready]

    def _move(self, visit: _Visit, ids: Iterable[int], before: int, place: int) -> None:
        chosen = sorted(ids)
        if chosen:
            visit.tx.execute(self._sql.limits.move, (place, visit.now, self._many(chosen), before))

    # Groups: only the first job of a group waits for a place

    def _advance_all(self, groups: Iterable[str]) -> list[int]:
        return [job_id for group in sorted(groups) for job_id in self._advance(group)]

    def _advance(self, group: str) -> list[int]:
        """Let the first job of a group wait for a place unless another one does; returns the ids of jobs admitted."""
        name = self._tables.open().transact(partial(self._step_up, group))
        return [] if name is None else self.admit([name])

    def _step_up(self, group: str, tx: Transaction) -> str | None:
        self._groups.lock(tx, [group])
        name = None
        while not tx.query(self._sql.limits.ahead_in_group, (group,)) and (first := self._first(tx, group)):
            job_id, name = first
            standing = tx.query(self._sql.limits.standing, (self._many([job_id]),))
            waits = bool(standing) and standing[0][1] == State.PENDING
            place = WAITING if waits else ELSEWHERE
            tx.execute(self._sql.limits.move, (place, self._tables.clock.now(), self._many([job_id]), BEHIND))
            if waits:
                break
            name = None
        self._groups.unlock(tx, [group])
        return name

    def _first(self, tx: Transaction, group: str) -> tuple[int, str] | None:
        """Choose the job of a group that may wait for a place, with its limit; None if another job comes first.

        If that one is under no limit, its row is marked, so that its end lets the group go on.
        """
        holder = next((one for _, one in tx.query(self._sql.limits.holders, (self._many([group]),)) if one), None)
        if holder is None:
            found = tx.query(self._sql.limits.first_in_group, (group,))
        else:
            found = tx.query(self._sql.limits.one_in_group, (holder,))
        before = holder if holder is not None or not found else self._ready_before(tx, group, found[0])
        if before is not None and (not found or before != found[0][0]):
            tx.execute(self._sql.limits.mark_ahead, (before,))
            return None
        return (found[0][0], found[0][1]) if found else None

    def _ready_before(self, tx: Transaction, group: str, first: Row) -> int | None:
        """Find the ready job without a limit that comes before the group's first one under a limit; else None."""
        job_id, _, priority, due_at = first
        found = tx.query(self._sql.limits.ready_in_group, (group,))
        return found[0][2] if found and tuple(found[0]) < (priority, due_at, job_id) else None

    # Without a lock

    def _has_room(self, name: str) -> bool:
        """Tell whether an admission under this limit may change anything, as far as can be seen without its lock."""
        database = self._tables.open()
        bounds = self.bounds(database, name)
        if bounds is None:
            return False
        taken = sum(HeldPlace._make(row).is_taken for row in database.query(self._sql.limits.places, (name,)))
        return bounds.concurrency is None or taken != bounds.concurrency

    def _many(self, values: Iterable[object]) -> object:
        return self._tables.database.many(list(values))
