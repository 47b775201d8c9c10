"""Settle jobs: write outcomes of attempts, return unstarted claims, and start the next job of a group."""

from __future__ import annotations

import os
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from cronq.errors import InvalidInput
from cronq.model.job import ENDED, State
from cronq.storage import limit_starts, rows
from cronq.storage.drivers.database import Duplicate
from cronq.storage.sql.columns import HAS_PROGRESS, LIMITED, LOOKED, MEMBER, NEEDED
from cronq.storage.tables import BATCH
from cronq.system.log import log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cronq.model.job import Claimed
    from cronq.model.outcome import Settlement
    from cronq.storage.drivers.database import Transaction
    from cronq.storage.groups import Groups
    from cronq.storage.progress import ProgressRows
    from cronq.storage.tables import Tables
    from cronq.storage.wake import Wake

    Ties = Mapping[int, tuple[int, int | None]]
    """The bits of `flow` and the batch (or None) of those jobs that have such bits, by their ids."""

_REFUSALS = (InvalidInput, Duplicate, UnicodeError, OverflowError)
"""The exceptions that a database or its driver raises for values that it refuses."""


_EXPECTS_TIES_FOR = 20
"""The number of settlements, after one with ties, that read the ties first: a write that fails for them costs more."""

_NONE: Ties = {}


_LOOK_ON_DISTANCE = 50
"""The distance in ids to a batch's first outstanding member above which the next search begins at that one."""


_READY = attrgetter("ready")


class _Written(NamedTuple):
    """The effects of a settlement beside the outcomes that it wrote."""

    ready: Sequence[int]
    """The ids of the jobs that became ready."""
    noted: bool
    """Whether it noted changes whose consequences must be carried out."""


class _LeaseLost(Exception):
    """Fewer rows were written than expected: another runner has taken over a lease, or a job has got ties meanwhile."""


class Settler:
    """Ends leases by writing outcomes or returning claims."""

    def __init__(
        self, tables: Tables, groups: Groups, wake: Wake, progress: ProgressRows, *, follow_up: Callable[[], int]
    ) -> None:
        self._tables = tables
        self._sql = tables.sql
        self._groups = groups
        self._wake = wake
        self._progress = progress
        self._follow_up = follow_up
        self._host = os.uname().nodename
        self._expects_ties = 0

    def settle(self, settlements: Sequence[Settlement]) -> list[int]:
        """Write outcomes; returns the ids whose lease was lost.

        If the database refuses them together, they are written in parts, down to single ones; a single one
        that it refuses is shortened until it is accepted, and counts as lost if not even its state is accepted.
        """
        try:
            return self._write(settlements)
        except _REFUSALS as refusal:
            if len(settlements) == 1:
                return self._write_reduced(settlements[0], refusal)
        middle = len(settlements) // 2  # in order: a job is written after those before it in its group
        return self.settle(settlements[:middle]) + self.settle(settlements[middle:])

    def _write_reduced(self, settlement: Settlement, refusal: Exception) -> list[int]:
        from cronq.storage.reduction import reductions  # here, not above: this is rare

        job_id, why = settlement.job.id, refusal
        for reduced in reductions(settlement, refusal):
            try:
                lost = self._write([reduced])
            except _REFUSALS as again:
                why = again
            else:
                log.warning("job %d: %s", job_id, reduced.outcome.warnings[-1])
                return lost
        log.error("job %d: the database refuses even its state: %s; its lease ends by itself", job_id, why)
        return [job_id]

    def _write(self, settlements: Sequence[Settlement]) -> list[int]:
        lost: list[int] = []
        tied = self._tied(settlements) if self._expects_ties else _NONE
        while True:
            try:
                written = self._wake.transact(partial(self._settle, settlements, tied), _READY)
            except _LeaseLost:
                held = [s for s in settlements if self._is_held(s)]
                kept = {s.job.id for s in held}
                lost += [s.job.id for s in settlements if s.job.id not in kept and not self._is_written(s)]
                settlements, tied = held, self._tied(held)
            else:
                break
        self._expects_ties = _EXPECTS_TIES_FOR if tied else max(0, self._expects_ties - 1)
        if written.noted:
            self._follow_up()
        return lost

    def _tied(self, settlements: Sequence[Settlement]) -> Ties:
        """Read the ties of those jobs that have some: others that come after them, a batch, a limit or progress."""
        ids = [s.job.id for s in settlements]
        found = self._tables.query(self._sql.flow.with_flow, (self._tables.database.many(ids),)) if ids else []
        return {job_id: (flow, batch) for job_id, flow, batch in found}

    def _is_held(self, settlement: Settlement) -> bool:
        job = settlement.job
        return bool(self._tables.open().query(self._sql.settle.still_held, (job.id, job.token)))

    def _is_written(self, settlement: Settlement) -> bool:
        job, outcome, following, _, _ = settlement
        shown = (job.id, job.token, following.state.value, outcome.started_at)
        return bool(self._tables.open().query(self._sql.settle.already_settled, shown))

    def _settle(self, settlements: Sequence[Settlement], tied: Ties, tx: Transaction) -> _Written:
        """Write outcomes in one transaction. Raises _LeaseLost, which rolls it back."""
        chains = sorted(rows.by_group(settlements).items())
        if chains and self._sql.dialect.many_writers:
            tx.query(self._sql.groups.lock_holders, (self._tables.database.many([group for group, _ in chains]),))
        alone = [s for s in settlements if s.job.id not in tied] if tied else settlements
        if self._write_alone(tx, alone) != len(alone):
            raise _LeaseLost
        noted = bool(tied) and self._write_tied(tx, [s for s in settlements if s.job.id in tied], tied)
        history = [rows.attempt_row(s, self._host) for s in settlements if s.outcome.kind in rows.RECORDED]
        if history:
            tx.execute_many(self._sql.settle.record_attempt, history)
        ready = [s.job.id for s in settlements if s.next.state is State.READY]
        for group, chain in chains:
            ready += self._move_group(tx, group, chain)
        return _Written(ready, noted)

    def _write_alone(self, tx: Transaction, settlements: Sequence[Settlement]) -> int:
        """Write outcomes of jobs without ties; returns how many rows were written."""
        return self._write_rows(tx, settlements, self._sql.settle.finish, self._sql.settle.settle_alone)

    def _write_rows(self, tx: Transaction, settlements: Sequence[Settlement], finish: str, settle: str) -> int:
        plain = [rows.finished_row(s) for s in settlements if rows.is_plain(s)]
        written = tx.execute_many(finish, plain) if plain else 0
        if len(plain) < len(settlements):
            rest = [rows.settled_row(s) for s in settlements if not rows.is_plain(s)]
            written += tx.execute_many(settle, rest)
        return written

    def _write_tied(self, tx: Transaction, settlements: Sequence[Settlement], tied: Ties) -> bool:
        """Write outcomes of jobs with ties, and delete their progress; returns whether consequences were noted."""
        alike, noted = _notes(settlements, tied)
        needed = noted.union(job_id for job_id, (flow, _) in tied.items() if flow & NEEDED)
        unneeded = [s for s in settlements if s.job.id not in needed]
        others = [s for s in settlements if s.job.id in needed]
        written = self._write_rows(tx, unneeded, self._sql.settle.finish_unneeded, self._sql.settle.settle_unneeded)
        written += self._write_rows(tx, others, self._sql.settle.finish_any, self._sql.settle.settle)
        if written != len(settlements):
            raise _LeaseLost
        shown = [job_id for job_id, (flow, _) in tied.items() if flow & HAS_PROGRESS]
        if shown:
            self._progress.drop(tx, shown)
        again = [s.job.id for s in settlements if s.next.state is State.READY and tied[s.job.id][0] & LIMITED]
        if again:
            noted.update(limit_starts.ask_again(self._tables, tx, again))
        noted.update(job_id for batch_id, job_id in alike.items() if not self._goes_on(tx, batch_id))
        if noted:
            tx.execute_many(self._sql.flow.note, [(job_id,) for job_id in sorted(noted)])
        return bool(noted)

    def _goes_on(self, tx: Transaction, batch_id: int | None) -> bool:
        """Tell whether another member of a batch certainly has not ended: its end will be checked for consequences."""
        if self._sql.dialect.many_writers:  # another transaction may be ending the other member just now
            return False
        found = tx.query(self._sql.batches.going_on, (batch_id,))
        if found and found[0][0] - found[0][1] > _LOOK_ON_DISTANCE:
            tx.execute(self._sql.batches.look_on, (found[0][0], batch_id))
        return bool(found)

    def _move_group(self, tx: Transaction, group: str, chain: Sequence[Settlement]) -> list[int]:
        """Hand the group on to the follower of the chain of jobs that ended in it, or free it.

        A job of the chain that has not ended, or holds on to the group, keeps it. Only a rescue without a journal has
        jobs after that one. Returns the ids of the jobs that became ready.
        """
        ours = self._tables.database.many([s.job.id for s in chain])
        for one in chain:
            if one.hold_group or one.next.state not in ENDED:
                tx.execute(self._sql.groups.hand_on, (one.job.id, group, ours))
                # Its followers, which the child doesn't start, are returned in the same transaction: otherwise this
                # job may be claimed again before that, and others behind the followers with it.
                tx.execute(self._sql.groups.release_followers, (group, one.job.token))
                return []
        follower = tx.query(self._sql.groups.next_follower, (group, chain[-1].job.token))
        if follower:
            tx.execute(self._sql.groups.step_up, follower[0])
            tx.execute(self._sql.groups.hand_on, (follower[0][0], group, ours))
            return []
        tx.execute(self._sql.groups.free, (group, ours))
        return self._groups.unblock(tx, group)

    def release(self, jobs: Iterable[Claimed]) -> None:
        """Return claims that were never started."""
        given_back = list(jobs)
        if given_back:
            ids = [job.id for job in given_back]
            if self._wake.transact(partial(self._release, given_back), lambda _: ids):
                self._follow_up()

    def _release(self, jobs: Sequence[Claimed], tx: Transaction) -> bool:
        """Return claims in one transaction; returns whether consequences were noted."""
        groups = sorted({job.group for job in jobs if job.group is not None})
        self._groups.lock(tx, groups)
        tx.execute_many(self._sql.settle.release, [(job.id, job.token) for job in jobs])
        again = limit_starts.ask_again(self._tables, tx, [job.id for job in jobs])
        if again:
            tx.execute(self._sql.flow.note_many, (self._tables.database.many(again),))
        for group in groups:
            self._groups.unblock(tx, group)
        self._groups.unlock(tx, groups)
        return bool(again)

    def unblock_without_holder(self) -> int:
        """Unblock the next job of each group that has blocked jobs and no holder; returns the number of groups."""
        if not self._tables.open().has_other_writers():
            return 0
        groups = [row[0] for row in self._tables.query(self._sql.groups.without_holder, (BATCH,))]
        with self._wake.gathering():
            for group in groups:
                self._wake.transact(partial(self._unstrand, group), list)
        return len(groups)

    def _unstrand(self, group: str, tx: Transaction) -> list[int]:
        self._groups.lock(tx, [group])
        ready = self._groups.unblock(tx, group)
        self._groups.unlock(tx, [group])
        return ready


def _notes(settlements: Sequence[Settlement], tied: Ties) -> tuple[dict[int | None, int], set[int]]:
    """Choose the jobs to note; returns one member that finished by batch, and the ids of all others.

    No job comes after the former, so it need only be noted if its batch may have ended.
    """
    alike, noted = dict[int | None, int](), set[int]()
    for settled in settlements:
        job_id, state = settled.job.id, settled.next.state
        flow, batch = tied[job_id]
        if state is State.FINISHED and flow & ~(LOOKED | HAS_PROGRESS) == MEMBER:
            alike[batch] = job_id
        elif flow != HAS_PROGRESS and (
            state in ENDED or flow & MEMBER or (flow & LIMITED and state is not State.READY)
        ):
            noted.add(job_id)
    return alike, noted
