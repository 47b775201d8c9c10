"""The store: one method per job operation, one transaction per method.

Rows go in, jobs come out. Every update after a claim names the lease's token, so whoever
lost the lease cannot overwrite. A job is held while `lease_until` is set.
"""

from __future__ import annotations

import json
import os
import random
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from cronq.dialects.sqlite import Duplicate
from cronq.errors import InvalidInput
from cronq.job import ENDED, Claimed, Enqueued, State
from cronq.reader import Reader
from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from cronq.config import Config
    from cronq.dialects.sqlite import Transaction
    from cronq.job import NewJob
    from cronq.outcome import Settlement
    from cronq.selection import Filter
    from cronq.times import Clock

BATCH = 1000
"""Rows that one maintenance transaction changes at most: other writers wait no longer than for these."""

_Key = tuple[int, int, int, "str | None"]
"""Claim order, and the group: priority, available_at, id, group."""


class _LeaseLost(Exception):
    """Fewer rows were written than this runner thought it held."""


class Lease(NamedTuple):
    """Who claims, and until when (an instant) the claim holds without being renewed."""

    worker: str
    until: int


class Held(NamedTuple):
    """A job under lease, with the instants of its claim and of the lease's end."""

    job: Claimed
    claimed_at: int
    until: int


class Store(Reader):
    """Jobs in a database. Opens at first use; `close` before a fork."""

    def __init__(self, config: Config, clock: Clock) -> None:
        super().__init__(config)
        self.clock = clock
        self._random = random.Random()
        self._host = os.uname().nodename

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Enqueueing

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Accept jobs, all or none: scheduled, ready, or blocked where the group is held.

        Returns their ids in order; a unique job whose key an unfinished one has gets that
        one's id.
        """
        self.prepare()
        now = self.clock.now()
        if len(jobs) == 1 and not jobs[0].unique:
            return [self._insert(self._db, jobs[0], now)]
        with self._db.write() as tx:
            if any(job.unique or job.group for job in jobs):
                return [self._insert(tx, job, now) for job in jobs]
            return self._insert_many(tx, jobs, now)

    def enqueue_through(self, connection: Any, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """The same inside the caller's transaction, on a SQLAlchemy Connection or Session."""
        self.prepare()
        borrowed = _Borrowed(connection)
        now = self.clock.now()
        return [self._insert(borrowed, job, now) for job in jobs]

    def _insert(self, connection: Any, job: NewJob, now: int) -> Enqueued:
        sql = self._queries.enqueue_grouped if job.group else self._queries.enqueue
        row = _new_row(job, now)
        if job.group:
            row = (*row[:4], job.group, *row[4:])
        if not job.unique:
            return Enqueued(connection.execute(sql, row).lastrowid, existing=False)
        cursor = connection.execute(sql + self._queries.unless_twin, row)
        if cursor.rowcount:
            return Enqueued(cursor.lastrowid, existing=False)
        return Enqueued(connection.execute(self._queries.twin, (job.key,)).fetchone()[0], existing=True)

    def _insert_many(self, tx: Transaction, jobs: Sequence[NewJob], now: int) -> list[Enqueued]:
        tx.execute_many(self._queries.enqueue, [_new_row(job, now) for job in jobs])
        # The transaction is the only writer, so AUTOINCREMENT counted up without gaps.
        last = tx.query("SELECT last_insert_rowid()")[0][0] if jobs else 0
        return [Enqueued(job_id, existing=False) for job_id in range(last - len(jobs) + 1, last + 1)]

    # Claiming

    def claim(self, wanted: Filter, lease: Lease, *, limit: int, now: int) -> list[Claimed]:
        """Lease up to `limit` due jobs in claim order: ready becomes running.

        Jobs that follow the holder of their group in the same claim are leased too but stay
        blocked: they are meant for the same child, and step up as the one before them ends.
        """
        self.prepare()
        queues = self._claimable(wanted)
        if not queues or limit < 1:
            return []
        with self._db.write() as tx:
            running, following = self._line_up(tx, queues, wanted, limit)
            taken = self._take(tx, self._queries.claim, running, lease, now)
            if following:
                token = taken[0].token
                taken += self._take(tx, self._queries.claim_behind, following, lease, now, token=token)
        return sorted(taken, key=lambda job: (job.priority, job.available_at, job.id))

    def _claimable(self, wanted: Filter) -> list[str]:
        present = {row[0] for row in self._db.query(self._queries.queues_with_ready)}
        queues = wanted.admitted(present - self.paused()) if present else []
        if wanted.weighted and queues:
            weights = [1 / rank for rank in range(1, len(queues) + 1)]
            return self._random.choices(queues, weights)
        return queues

    def _line_up(
        self, tx: Transaction, queues: Sequence[str], wanted: Filter, limit: int
    ) -> tuple[list[int], list[int]]:
        """Choose what to claim: ids that may run, and ids that follow one of these in its group."""
        while True:
            front = self._front(tx, queues, wanted, limit)
            groups = {key[3] for key in front if key[3] is not None}
            if not groups:
                return [key[2] for key in front], []
            holders: dict[str, int] = dict(tx.query(self._queries.holders, (json.dumps(list(groups)),)))  # type: ignore[arg-type]
            candidates = {key[2] for key in front}
            held = [group for group, holder in holders.items() if holder not in candidates]
            if not held:
                return self._hold_groups(tx, _Line(front, holders, queues, wanted, limit))
            for group in held:
                tx.execute(self._queries.block, (group, json.dumps([holders[group]])))

    def _front(self, tx: Transaction, queues: Sequence[str], wanted: Filter, limit: int) -> list[_Key]:
        rows: list[_Key] = []
        for queue in queues:
            rows += tx.query(self._queries.front, (queue, wanted.lowest, wanted.highest, limit))  # type: ignore[arg-type]
        return sorted(rows)[:limit] if len(queues) > 1 else rows

    def _hold_groups(self, tx: Transaction, line: _Line) -> tuple[list[int], list[int]]:
        heads = _heads(line.front, line.holders)
        keys = [key for key in line.front if key[3] is None or key >= heads[key[3]]]
        for head in heads.values():
            keys += [key for key in self._behind(tx, line, head) if key > head]
        chosen = sorted(keys)[: line.limit]
        picked = {key[2] for key in chosen}
        held = {group: head for group, head in heads.items() if head[2] in picked}
        chosen = [key for key in chosen if key[3] is None or key[3] in held]
        everyone = json.dumps([key[2] for key in chosen])
        for group, head in held.items():
            if group not in line.holders:
                tx.execute(self._queries.hold, (group, head[2]))
            tx.execute(self._queries.block, (group, everyone))
        leading = {head[2] for head in held.values()}
        following = [key[2] for key in chosen if key[3] is not None and key[2] not in leading]
        behind = set(following)
        return [key[2] for key in chosen if key[2] not in behind], following

    def _behind(self, tx: Transaction, line: _Line, head: _Key) -> Iterator[_Key]:
        bounds = (head[3], line.wanted.lowest, line.wanted.highest, line.limit)
        for *key, queue in tx.query(self._queries.behind, bounds):
            if queue in line.queues:
                yield tuple(key)  # type: ignore[misc]

    def _take(
        self, tx: Transaction, sql: str, ids: list[int], lease: Lease, now: int, *, token: int | None = None
    ) -> list[Claimed]:
        token = token or self._random.getrandbits(62) or 1
        chosen = json.dumps(ids)
        rows = tx.query(sql, (lease.worker, token, lease.until, now, self._host, os.getpid(), chosen))
        return [Claimed._make(row) for row in rows]

    # Settling

    def settle(self, settlements: Sequence[Settlement]) -> list[int]:
        """Write outcomes of attempts this runner holds; returns the ids whose lease was lost.

        Lost means another runner rescued the job: its row is left alone. A row that already
        shows our token without a lease counts as written (the connection may have died after
        the COMMIT, or a journal is read a second time).
        """
        try:
            self._settle(settlements)
        except _LeaseLost:
            held = [s for s in settlements if self._shows(self._queries.still_held, s.job)]
            self._settle(held)
            kept = {s.job.id for s in held}
            rest = [s.job for s in settlements if s.job.id not in kept]
            return [job.id for job in rest if not self._shows(self._queries.already_settled, job)]
        return []

    def _shows(self, sql: str, job: Claimed) -> bool:
        return bool(self._db.query(sql, (job.id, job.token)))

    def _settle(self, settlements: Sequence[Settlement]) -> None:
        with self._db.write() as tx:
            plain = [_finished_row(s) for s in settlements if _is_plain(s)]
            written = tx.execute_many(self._queries.finish, plain) if plain else 0
            if len(plain) < len(settlements):
                rest = [_settled_row(s) for s in settlements if not _is_plain(s)]
                written += tx.execute_many(self._queries.settle, rest)
            if written != len(settlements):
                raise _LeaseLost
            history = [_attempt_row(s, self._host) for s in settlements if s.outcome.kind in _RECORDED]
            if history:
                tx.execute_many(self._queries.record_attempt, history)
            for group, chain in _by_group(settlements).items():
                self._move_group(tx, group, chain)

    def _move_group(self, tx: Transaction, group: str, chain: Sequence[Settlement]) -> None:
        """Hand the group to whoever comes after the chain of jobs that ended in it, or free it."""
        last = chain[-1]
        ours = json.dumps([s.job.id for s in chain])
        if last.hold_group or last.next.state not in ENDED:
            tx.execute(self._queries.hand_on, (last.job.id, group, ours))
            return
        follower = tx.query(self._queries.next_follower, (group, last.job.token))
        if follower:
            tx.execute(self._queries.step_up, follower[0])
            tx.execute(self._queries.hand_on, (follower[0][0], group, ours))
        else:
            tx.execute(self._queries.free, (group, ours))
            tx.execute(self._queries.unblock, (group,))

    def release(self, jobs: Iterable[Claimed]) -> None:
        """Give claims back that were never started: the attempt is returned, a group stays held."""
        rows = [(job.id, job.token) for job in jobs]
        if rows:
            with self._db.write() as tx:
                tx.execute_many(self._queries.release, rows)

    # Keeping and taking over leases

    def renew(self, lease: Lease) -> list[int]:
        """Push the end of all leases of this worker out; returns the ids it still holds."""
        with self._db.write() as tx:
            return [row[0] for row in tx.query(self._queries.renew, (lease.until, lease.worker))]

    def kills(self, worker: str) -> list[int]:
        """Jobs of this worker that somebody asked to kill."""
        return [row[0] for row in self._db.query(self._queries.kills, (worker,))]

    def owners(self) -> list[str]:
        """The workers that hold leases."""
        return [row[0] for row in self._rows(self._queries.owners)]

    def held_by(self, worker: str) -> list[Held]:
        """What a worker holds, in claim order."""
        rows = self._rows(self._queries.held_by, (worker,))
        return [Held(Claimed._make(row[:-2]), *row[-2:]) for row in rows]

    def promote(self, now: int) -> int:
        """Make scheduled, retrying and waiting jobs that are due ready (blocked if their group is held)."""
        self.prepare()
        total = 0
        while True:
            changed = self._db.execute(self._queries.promote, (now, BATCH)).rowcount
            total += changed
            if changed < BATCH:
                return total

    def next_due(self) -> int | None:
        """The instant at which the next scheduled, retrying or waiting job is due."""
        return self._rows(self._queries.next_due)[0][0]  # type: ignore[no-any-return]

    # Steering

    def retry(self, ids: Iterable[int]) -> list[int]:
        """Put ended jobs back to ready with a fresh budget of attempts; returns the ids changed.

        Raises InvalidInput, and changes nothing, if an unfinished twin holds a unique key.
        """
        self.prepare()
        now = self.clock.now()
        with self._db.write() as tx:
            return [job_id for job_id in ids if self._retry(tx, job_id, now)]

    def _retry(self, tx: Transaction, job_id: int, now: int) -> bool:
        try:
            return tx.execute(self._queries.retry, (now, job_id)).rowcount == 1
        except Duplicate:
            key = tx.query(f"SELECT job_key FROM {self._queries.jobs} WHERE id = ?", (job_id,))[0][0]
            twin = tx.query(self._queries.twin, (key,))[0][0]
            message = f"job {job_id} can't be retried: job {twin} with the same unique key {key!r} is unfinished"
            raise InvalidInput(message) from None

    def cancel(self, ids: Iterable[int], *, reason: str | None = None) -> list[int]:
        """Cancel jobs that aren't running; returns the ids changed. A group that one held is freed."""
        self.prepare()
        now = self.clock.now()
        kind = None if reason is None else "Cancelled"
        changed = []
        with self._db.write() as tx:
            for job_id in ids:
                if tx.execute(self._queries.cancel, (now, kind, reason, job_id)).rowcount:
                    changed.append(job_id)
                    self._leave_group(tx, job_id)
        return changed

    def _leave_group(self, tx: Transaction, job_id: int) -> None:
        group = tx.query(self._queries.group_of, (job_id,))[0][0]
        if group is not None:
            tx.execute(self._queries.free, (group, json.dumps([job_id])))
            tx.execute(self._queries.unblock, (group,))

    def request_kill(self, ids: Iterable[int]) -> list[int]:
        """Ask the runners of running jobs to kill them; returns the ids that are running."""
        self.prepare()
        with self._db.write() as tx:
            return [i for i in ids if tx.execute(self._queries.request_kill, (i,)).rowcount]

    def clear(self, states: Iterable[str], *, older_than: float = 0.0) -> Iterator[int]:
        """Delete ended jobs in these states that ended more than `older_than` seconds ago.

        Yields the count of each batch.
        """
        before = self.clock.now() - round(older_than * SECOND)
        wanted = json.dumps(sorted(states))
        while True:
            chosen = json.dumps([row[0] for row in self._rows(self._queries.prunable, (before, wanted, BATCH))])
            with self._db.write() as tx:
                tx.execute(self._queries.prune_attempts, (chosen,))
                deleted = tx.execute(self._queries.prune, (chosen,)).rowcount
            if not deleted:
                return
            yield deleted


class _Line(NamedTuple):
    """The front of the line while a claim is being put together."""

    front: list[_Key]
    holders: Mapping[str, int]
    queues: Sequence[str]
    wanted: Filter
    limit: int


class _Borrowed:
    """A caller's SQLAlchemy Connection or Session, taking the statements of the driver."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection.connection() if hasattr(connection, "get_bind") else connection

    def execute(self, sql: str, parameters: tuple[Any, ...]) -> Any:
        return self._connection.exec_driver_sql(sql, parameters)


_RECORDED = frozenset({"error", "timeout", "crashed"})
"""Outcomes that leave a row in the job's history."""


def _new_row(job: NewJob, now: int) -> tuple[Any, ...]:
    available_at = now if job.available_at is None else job.available_at
    state = "scheduled" if available_at > now else "ready"
    unique_key = job.key if job.unique else None
    return (
        job.task, job.args, job.queue, job.priority, state, available_at, job.key, unique_key, job.unique,
        job.group, job.max_attempts, job.time_limit, job.event, job.retry, now,
    )  # fmt: skip


def _heads(front: Iterable[_Key], holders: Mapping[str, int]) -> dict[str, _Key]:
    """For each group the job that holds it, or else its first in the line."""
    heads: dict[str, _Key] = {}
    for key in front:
        group = key[3]
        if group is not None and holders.get(group, key[2]) == key[2]:
            heads.setdefault(group, key)
    return heads


def _is_plain(settlement: Settlement) -> bool:
    """Whether this is a first attempt that succeeded and left nothing to keep."""
    job, outcome = settlement.job, settlement.outcome
    return (
        outcome.kind == "success"
        and job.attempt == 1
        and outcome.result is None
        and outcome.stdout is None
        and outcome.stderr is None
        and outcome.notes is None
        and job.key is None
        and not job.snoozes
        and not job.spent_before
    )


def _finished_row(settlement: Settlement) -> tuple[Any, ...]:
    job, outcome = settlement.job, settlement.outcome
    return (
        outcome.started_at, outcome.finished_at, outcome.pid, outcome.peak_memory, outcome.memory_before,
        outcome.cpu_time, job.id, job.token,
    )  # fmt: skip


def _settled_row(settlement: Settlement) -> tuple[Any, ...]:
    job, outcome, following, _ = settlement
    state = following.state
    ended = state in ENDED
    error = following.error
    waiting = state is State.WAITING
    return (
        state.value,
        following.available_at,
        0 if following.spent else 1,
        1 if waiting else 0,
        1 if outcome.kind == "crashed" and following.spent else 0,
        (job.waiting_since or outcome.finished_at) if waiting else None if ended else job.waiting_since,
        (job.unknown_since or outcome.finished_at) if outcome.verdict == "unknown" else None,
        outcome.started_at,
        outcome.finished_at if ended else None,
        outcome.kind or None,
        error and error.kind,
        error and error.message,
        outcome.result,
        json.dumps(outcome.warnings) if outcome.warnings else None,
        json.dumps(outcome.notes) if outcome.notes is not None else job.notes,
        outcome.stdout,
        outcome.stderr,
        outcome.pid,
        outcome.peak_memory,
        outcome.memory_before,
        outcome.cpu_time,
        ended,
        job.id,
        job.token,
    )


def _attempt_row(settlement: Settlement, host: str) -> tuple[Any, ...]:
    job, outcome = settlement.job, settlement.outcome
    error = outcome.error
    return (
        job.id, job.spent_before + job.attempt, outcome.kind, outcome.started_at, outcome.finished_at, host,
        outcome.pid, outcome.exit_status, outcome.signal, error and error.kind, error and error.message,
        error and error.traceback, outcome.stdout, outcome.stderr,
    )  # fmt: skip


def _by_group(settlements: Iterable[Settlement]) -> dict[str, list[Settlement]]:
    groups: dict[str, list[Settlement]] = {}
    for settlement in settlements:
        if settlement.job.group is not None:
            groups.setdefault(settlement.job.group, []).append(settlement)
    return groups
