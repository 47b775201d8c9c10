"""The store: one method per job operation, one transaction per method.

Rows go in, jobs come out. Every update after a claim names the lease's token, so whoever
lost the lease cannot overwrite. A job is held while `lease_until` is set.
"""

from __future__ import annotations

import json
import os
import random
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from cronq import rows
from cronq.borrowed import Borrowed
from cronq.dialects.sqlite import Duplicate
from cronq.errors import ConfigError, InvalidInput
from cronq.job import ENDED, Claimed, Enqueued
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
        """The same inside the caller's transaction, on a SQLAlchemy Connection or Session.

        Raises InvalidInput where the connection leads to another database than the config, and
        ConfigError where the tables are missing and its transaction keeps them from being made.
        """
        borrowed = Borrowed(connection)
        borrowed.require(self._config.sqlite_path() or "")
        if not self._prepared:
            self._prepare_beside(borrowed)
        now = self.clock.now()
        return [self._insert(borrowed, job, now) for job in jobs]

    def _prepare_beside(self, borrowed: Borrowed) -> None:
        """Open the database, but make no tables: the caller's transaction may hold the write lock."""
        if borrowed.in_transaction and not self._db.has_table(self._queries.jobs):
            message = (
                "the database has no cronq tables yet, and they can't be made while a transaction is open:"
                " run `cronq update-schema` once before"
            )
            raise ConfigError(message)
        self.prepare()

    def _insert(self, connection: Any, job: NewJob, now: int) -> Enqueued:
        sql = self._queries.enqueue_grouped if job.group else self._queries.enqueue
        row = rows.new_row(job, now)
        if job.group:
            row = (*row[:4], job.group, *row[4:])
        if not job.unique:
            return Enqueued(connection.execute(sql, row).lastrowid, existing=False)
        cursor = connection.execute(sql + self._queries.unless_twin, row)
        if cursor.rowcount:
            return Enqueued(cursor.lastrowid, existing=False)
        return Enqueued(connection.execute(self._queries.twin, (job.key,)).fetchone()[0], existing=True)

    def _insert_many(self, tx: Transaction, jobs: Sequence[NewJob], now: int) -> list[Enqueued]:
        tx.execute_many(self._queries.enqueue, [rows.new_row(job, now) for job in jobs])
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
        queues = self._claimable(wanted) if limit > 0 else []
        while queues:
            chosen = [self._draw(queues)] if wanted.weighted else queues
            taken = self._claim_from(chosen, wanted, lease, limit=limit, now=now)
            if taken or not wanted.weighted:
                return taken
            queues.remove(chosen[0])
        return []

    def _claim_from(
        self, queues: Sequence[str], wanted: Filter, lease: Lease, *, limit: int, now: int
    ) -> list[Claimed]:
        with self._db.write() as tx:
            running, following = self._line_up(tx, queues, wanted, limit)
            taken = self._take(tx, self._queries.claim, running, lease, now)
            if following:
                token = taken[0].token
                taken += self._take(tx, self._queries.claim_behind, following, lease, now, token=token)
        return sorted(taken, key=lambda job: (job.priority, job.available_at, job.id))

    def _claimable(self, wanted: Filter) -> list[str]:
        present = {row[0] for row in self._db.query(self._queries.queues_with_ready)}
        return wanted.admitted(present - self.paused()) if present else []

    def _draw(self, queues: Sequence[str]) -> str:
        weights = [1 / rank for rank in range(1, len(queues) + 1)]
        return self._random.choices(queues, weights)[0]

    def _line_up(
        self, tx: Transaction, queues: Sequence[str], wanted: Filter, limit: int
    ) -> tuple[list[int], list[int]]:
        """Choose what to claim: ids that may run, and ids that follow one of these in its group."""
        while True:
            front = self._front(tx, queues, wanted, limit)
            groups = {key[3] for key in front if key[3] is not None}
            if not groups:
                return [key[2] for key in front], []
            holders: dict[str, int] = dict(tx.query(self._queries.holders, (json.dumps(list(groups)),)))
            candidates = {key[2] for key in front}
            held = [group for group, holder in holders.items() if holder not in candidates]
            if not held:
                return self._hold_groups(tx, _Line(front, holders, queues, wanted, limit))
            for group in held:
                tx.execute(self._queries.block, (group, json.dumps([holders[group]])))

    def _front(self, tx: Transaction, queues: Sequence[str], wanted: Filter, limit: int) -> list[_Key]:
        front: list[_Key] = []
        for queue in queues:
            front += tx.query(self._queries.front, (queue, wanted.lowest, wanted.highest, limit))
        return sorted(front)[:limit] if len(queues) > 1 else front

    def _hold_groups(self, tx: Transaction, line: _Line) -> tuple[list[int], list[int]]:
        keys = [key for key in line.front if key[3] is None]
        heads: dict[str, _Key] = {}
        for group, members in _by_group(line.front).items():
            members = sorted([*members, *self._behind(tx, line, group)])
            holder = line.holders.get(group, members[0][2])
            heads[group] = next(key for key in members if key[2] == holder)
            # A holder that was retried may stand behind others by now; who follows it is the first of them.
            keys += members if members[0] == heads[group] else [heads[group]]
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

    def _behind(self, tx: Transaction, line: _Line, group: str) -> Iterator[_Key]:
        bounds = (group, line.wanted.lowest, line.wanted.highest, line.limit)
        for *key, queue in tx.query(self._queries.behind, bounds):
            if queue in line.queues:
                yield tuple(key)

    def _take(
        self, tx: Transaction, sql: str, ids: list[int], lease: Lease, now: int, *, token: int | None = None
    ) -> list[Claimed]:
        token = token or self._random.getrandbits(62) or 1
        chosen = json.dumps(ids)
        taken = tx.query(sql, (lease.worker, token, lease.until, now, self._host, os.getpid(), chosen))
        return [Claimed._make(row) for row in taken]

    # Settling

    def settle(self, settlements: Sequence[Settlement]) -> list[int]:
        """Write outcomes of attempts this runner holds; returns the ids whose lease was lost.

        Lost means another runner rescued the job: its row is left alone. A row that already
        shows our token and this very ending counts as written (the connection may have died
        after the COMMIT, or a journal is read a second time).
        """
        lost: list[int] = []
        while True:
            try:
                self._settle(settlements)
            except _LeaseLost:
                held = [s for s in settlements if self._is_held(s)]
                kept = {s.job.id for s in held}
                lost += [s.job.id for s in settlements if s.job.id not in kept and not self._is_written(s)]
                settlements = held
            else:
                return lost

    def _is_held(self, settlement: Settlement) -> bool:
        job = settlement.job
        return bool(self._db.query(self._queries.still_held, (job.id, job.token)))

    def _is_written(self, settlement: Settlement) -> bool:
        job, outcome, following, _ = settlement
        shown = (job.id, job.token, following.state.value, outcome.started_at)
        return bool(self._db.query(self._queries.already_settled, shown))

    def _settle(self, settlements: Sequence[Settlement]) -> None:
        with self._db.write() as tx:
            plain = [rows.finished_row(s) for s in settlements if rows.is_plain(s)]
            written = tx.execute_many(self._queries.finish, plain) if plain else 0
            if len(plain) < len(settlements):
                rest = [rows.settled_row(s) for s in settlements if not rows.is_plain(s)]
                written += tx.execute_many(self._queries.settle, rest)
            if written != len(settlements):
                raise _LeaseLost
            history = [rows.attempt_row(s, self._host) for s in settlements if s.outcome.kind in rows.RECORDED]
            if history:
                tx.execute_many(self._queries.record_attempt, history)
            for group, chain in rows.by_group(settlements).items():
                self._move_group(tx, group, chain)

    def _move_group(self, tx: Transaction, group: str, chain: Sequence[Settlement]) -> None:
        """Hand the group to whoever comes after the chain of jobs that ended in it, or free it.

        Only a rescue that knows nothing of its jobs has some behind the one that keeps the group.
        """
        ours = json.dumps([s.job.id for s in chain])
        for one in chain:
            if one.hold_group or one.next.state not in ENDED:
                tx.execute(self._queries.hand_on, (one.job.id, group, ours))
                # Its child starts none of those that followed it. In the same transaction, because
                # this one may be claimed again before they are given back, and others behind them with it.
                tx.execute(self._queries.release_followers, (group, one.job.token))
                return
        follower = tx.query(self._queries.next_follower, (group, chain[-1].job.token))
        if follower:
            tx.execute(self._queries.step_up, follower[0])
            tx.execute(self._queries.hand_on, (follower[0][0], group, ours))
        else:
            tx.execute(self._queries.free, (group, ours))
            tx.execute(self._queries.unblock, (group,))

    def release(self, jobs: Iterable[Claimed]) -> None:
        """Give claims back that were never started: the attempt is returned, a group stays held.

        Those who follow others in a group must come back together, or later ones overtake them.
        """
        given_back = list(jobs)
        if not given_back:
            return
        with self._db.write() as tx:
            tx.execute_many(self._queries.release, [(job.id, job.token) for job in given_back])
            for group in {job.group for job in given_back if job.group is not None}:
                tx.execute(self._queries.unblock, (group,))

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
        held = self._rows(self._queries.held_by, (worker,))
        return [Held(Claimed._make(row[:-2]), *row[-2:]) for row in held]

    def promote(self, now: int) -> int:
        """Make scheduled, retrying and waiting jobs that are due ready (blocked if their group is held)."""
        total = 0
        while self._is_due(now):
            total += self._db.execute(self._queries.promote, (now, BATCH)).rowcount
        return total

    def _is_due(self, now: int) -> bool:
        # A look first: a statement that may write takes the write lock even for nothing.
        due = self.next_due()
        return due is not None and due <= now

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
            ids = [row[0] for row in self._rows(self._queries.prunable, (before, wanted, BATCH))]
            if not ids:
                return
            with self._db.write() as tx:
                deleted = [row[0] for row in tx.query(self._queries.prune, (before, wanted, json.dumps(ids)))]
                tx.execute(self._queries.prune_attempts, (json.dumps(deleted),))
            yield len(deleted)


class _Line(NamedTuple):
    """The front of the line while a claim is being put together."""

    front: list[_Key]
    holders: Mapping[str, int]
    queues: Sequence[str]
    wanted: Filter
    limit: int


def _by_group(front: Iterable[_Key]) -> dict[str, list[_Key]]:
    groups: dict[str, list[_Key]] = {}
    for key in front:
        if key[3] is not None:
            groups.setdefault(key[3], []).append(key)
    return groups
