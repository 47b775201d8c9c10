"""The store: one method per job operation, one transaction per method.

Rows go in, jobs come out. Every update after a claim names the lease's token, so whoever
lost the lease cannot overwrite. A job is held while `lease_until` is set.
"""

from __future__ import annotations

import os
import random
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from cronq.errors import ConfigError
from cronq.model.job import ENDED, Claimed, State
from cronq.storage import rows
from cronq.storage.admin import BATCH, Steering
from cronq.storage.claim_batch import BatchClaim, Slices, Wanted
from cronq.storage.claim_one import Claim, claim_one
from cronq.storage.drivers.after_commit import after_commit
from cronq.storage.drivers.caller_connection import borrow
from cronq.storage.drivers.database import Conflict
from cronq.storage.enqueue import Inserter
from cronq.storage.schema_version import is_current
from cronq.system.log import step

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from cronq.config.loader import Config
    from cronq.model.job import Enqueued, NewJob
    from cronq.model.outcome import Settlement
    from cronq.model.selection import Filter
    from cronq.storage.admin import Announces
    from cronq.storage.drivers.caller_connection import CallerConnection
    from cronq.storage.drivers.database import Transaction
    from cronq.times import Clock


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


class Requests(NamedTuple):
    """What was asked of a worker by others, through the database."""

    asked: str | None
    """`end`: after its jobs."""
    paused: frozenset[str]
    """The queues that are paused."""
    kills: tuple[int, ...]
    """Its jobs that somebody asked to kill."""
    next_due: int | None
    """The instant at which the next scheduled, retrying or waiting job is due."""
    followed: tuple[int, ...] = ()
    """The jobs, anybody's, whose output somebody follows."""


_ASKED, _PAUSED, _KILL, _DUE, _FOLLOWED = range(1, 6)
"""As the statement numbers its parts."""


class Store(Steering):
    """Jobs in a database. Opens at first use; `close` before a fork."""

    def __init__(self, config: Config, clock: Clock, announcer: Announces | None = None) -> None:
        super().__init__(config, clock, announcer)
        self._random = random.Random()
        self._share = Slices(self._random.randrange)
        self._host = os.uname().nodename
        self._inserter = Inserter(self._db, self._queries, self._random)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def conflicts(self) -> int:
        """How often something was done again because somebody else had been quicker or was in the way."""
        return self._db.conflicts

    # Enqueueing

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Accept jobs, all or none: scheduled, ready, or blocked where the group is held.

        Returns their ids in order; a unique job whose key an unfinished one has gets that
        one's id.
        """
        if not self._prepared or self._db.is_replaced():
            self._prepared = False
            self.prepare()
        now = self.clock.now()
        enqueued = self._inserter.accept(jobs, now=now)
        if self.announcer is not None:
            self.announcer.announce(_due(jobs, enqueued, now) if self.announcer.named else ())
        return enqueued

    def enqueue_through(self, connection: Any, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """The same inside the caller's transaction, on a SQLAlchemy Connection or Session.

        Workers are woken once that is committed, and not at all if it isn't.
        Raises InvalidInput where the connection leads to another database than the config, and
        ConfigError where the tables are missing and its transaction keeps them from being made.
        """
        borrowed = borrow(connection, self._db, name=self._config.sqlite_path() or self._config.safe_database())
        if not self._prepared:
            self._prepare_beside(borrowed)
        now = self.clock.now()
        enqueued = self._inserter.accept_through(borrowed, jobs, now=now)
        if self.announcer is not None:
            due = _due(jobs, enqueued, now) if self.announcer.named else ()
            after_commit(connection, partial(self.announcer.announce, due))
        return enqueued

    def _prepare_beside(self, borrowed: CallerConnection) -> None:
        """Open the database, but make no tables: the caller's transaction may hold the write lock."""
        if borrowed.locks_out and not is_current(self._db, self._config.table_prefix):
            message = (
                "cronq's tables are missing or of an older cronq, and they can't be made while a transaction is open:"
                " run `cronq update-schema` once before"
            )
            raise ConfigError(message)
        self.prepare()

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

    def claim_one(self, job_id: int, lease: Lease, *, now: int) -> Claimed:
        """Lease exactly this job if it may run now: ready, or due and not promoted yet, becomes running.

        Raises Refused, saying what stands against it.
        """
        self.prepare()
        claim = Claim(
            worker=lease.worker,
            token=self._random.getrandbits(62) or 1,
            now=now,
            until=lease.until,
            process=(self._host, os.getpid()),
        )
        return Claimed._make(claim_one(self._db, self._queries, job_id, claim))

    def _claim_from(
        self, queues: Sequence[str], wanted: Filter, lease: Lease, *, limit: int, now: int
    ) -> list[Claimed]:
        token = self._random.getrandbits(62) or 1
        claim = _Claim(lease, now, token, [])
        work = partial(self._take_from, wanted=Wanted(queues, wanted, limit), claim=claim)
        taken = self._db.transact(work, partial(self._landed, claim))
        while taken is None:
            taken = self._db.transact(work, partial(self._landed, claim))
        return sorted(taken, key=lambda job: (job.priority, job.available_at, job.id))

    def _take_from(self, tx: Transaction, *, wanted: Wanted, claim: _Claim) -> list[Claimed] | None:
        line = BatchClaim(tx, self._queries, wanted, many=self._db.many, share=self._share).choose()
        claim.chosen[:] = [*line.running, *line.following]
        if line.again:
            return None
        taken = self._take(tx, self._queries.claim, line.running, claim)
        if line.following:
            taken += self._take(tx, self._queries.claim_behind, line.following, claim)
        if len(taken) < len(claim.chosen):
            self._check(taken, line.grouped)
        self._share.learn(wanted=len(claim.chosen), taken=len(taken))
        return taken

    def _check(self, taken: list[Claimed], grouped: frozenset[int]) -> None:
        """Somebody else was quicker with some of the rows: without any, or without all of a group, start anew."""
        if not taken or not grouped <= {job.id for job in taken}:
            self._share.learn(wanted=1, taken=0)
            raise Conflict("claim")

    def _landed(self, claim: _Claim) -> list[Claimed] | None:
        """What a claim took whose COMMIT got no answer. Its rows are locked until that is decided."""
        if not claim.chosen:
            return None
        parameters = (self._db.many(sorted(claim.chosen)), claim.token)
        return [Claimed._make(row) for row in self._db.query(self._queries.landed, parameters)] or None

    def _claimable(self, wanted: Filter) -> list[str]:
        present = {row[0] for row in self._db.query(self._queries.queues_with_ready)}
        return wanted.admitted(present - self.paused()) if present else []

    def _draw(self, queues: Sequence[str]) -> str:
        weights = [1 / rank for rank in range(1, len(queues) + 1)]
        return self._random.choices(queues, weights)[0]

    def _take(self, tx: Transaction, sql: str, ids: list[int], claim: _Claim) -> list[Claimed]:
        if not ids:
            return []
        chosen = self._db.many(sorted(ids))
        lease = claim.lease
        given = (lease.worker, claim.token, lease.until, claim.now, self._host, os.getpid(), chosen)
        if self._queries.dialect.returning:
            return [Claimed._make(row) for row in tx.query(sql, given)]
        if not tx.execute(sql, given).rowcount:
            return []
        return [Claimed._make(row) for row in tx.query(self._queries.taken, (chosen, claim.token))]

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
                ready = self._db.transact(partial(self._settle, settlements))
            except _LeaseLost:
                held = [s for s in settlements if self._is_held(s)]
                kept = {s.job.id for s in held}
                lost += [s.job.id for s in settlements if s.job.id not in kept and not self._is_written(s)]
                settlements = held
            else:
                break
        if ready:
            self._announce(ready)
        return lost

    def _is_held(self, settlement: Settlement) -> bool:
        job = settlement.job
        return bool(self._db.query(self._queries.still_held, (job.id, job.token)))

    def _is_written(self, settlement: Settlement) -> bool:
        job, outcome, following, _ = settlement
        shown = (job.id, job.token, following.state.value, outcome.started_at)
        return bool(self._db.query(self._queries.already_settled, shown))

    def _settle(self, settlements: Sequence[Settlement], tx: Transaction) -> list[int]:
        """Returns the ids of the jobs that are ready now."""
        chains = sorted(rows.by_group(settlements).items())
        if chains and self._queries.dialect.server:
            tx.query(self._queries.lock_holders, (self._db.many([group for group, _ in chains]),))
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
        ready = [s.job.id for s in settlements if s.next.state is State.READY]
        for group, chain in chains:
            ready += self._move_group(tx, group, chain)
        if ready:
            self._notify(tx)
        return ready

    def _move_group(self, tx: Transaction, group: str, chain: Sequence[Settlement]) -> list[int]:
        """Hand the group to whoever comes after the chain of jobs that ended in it, or free it.

        Only a rescue that knows nothing of its jobs has some behind the one that keeps the group.
        """
        ours = self._db.many([s.job.id for s in chain])
        for one in chain:
            if one.hold_group or one.next.state not in ENDED:
                tx.execute(self._queries.hand_on, (one.job.id, group, ours))
                # Its child starts none of those that followed it. In the same transaction, because
                # this one may be claimed again before they are given back, and others behind them with it.
                tx.execute(self._queries.release_followers, (group, one.job.token))
                return []
        follower = tx.query(self._queries.next_follower, (group, chain[-1].job.token))
        if follower:
            tx.execute(self._queries.step_up, follower[0])
            tx.execute(self._queries.hand_on, (follower[0][0], group, ours))
            return []
        tx.execute(self._queries.free, (group, ours))
        return self._unblock(tx, group)

    def release(self, jobs: Iterable[Claimed]) -> None:
        """Give claims back that were never started: the attempt is returned, a group stays held.

        Those who follow others in a group must come back together, or later ones overtake them.
        """
        given_back = list(jobs)
        if given_back:
            self._db.transact(partial(self._release, given_back))
            self._announce([job.id for job in given_back])

    def _release(self, jobs: Sequence[Claimed], tx: Transaction) -> None:
        groups = sorted({job.group for job in jobs if job.group is not None})
        self._lock_groups(tx, groups)
        tx.execute_many(self._queries.release, [(job.id, job.token) for job in jobs])
        for group in groups:
            self._unblock(tx, group)
        self._unlock_groups(tx, groups)
        self._notify(tx)

    def unblock_stranded(self) -> int:
        """Let groups go on that nobody holds though jobs of theirs are blocked; returns how many.

        On a Galera cluster a job may be blocked on one node while its group is freed on another.
        """
        if not self._db.has_other_writers():
            return 0
        groups = [row[0] for row in self._rows(self._queries.stranded, (BATCH,))]
        ready = [job_id for group in groups for job_id in self._db.transact(partial(self._unstrand, group))]
        if ready:
            self._announce(ready)
        return len(groups)

    def _unstrand(self, group: str, tx: Transaction) -> list[int]:
        self._lock_groups(tx, [group])
        ready = self._unblock(tx, group)
        self._unlock_groups(tx, [group])
        return ready

    # Keeping and taking over leases

    def renew(self, lease: Lease) -> dict[int, int]:
        """Push the end of all leases of this worker out; returns the jobs it still holds, with their tokens."""
        held = sorted(self._leases(lease.worker))
        if held:
            self._db.execute(self._queries.renew, (lease.until, self._db.many(held), lease.worker))
        return self._leases(lease.worker) if held else {}

    def _leases(self, worker: str) -> dict[int, int]:
        return dict(self._db.query(self._queries.leases, (worker,)))

    def requests(self, worker: str) -> Requests:
        """What a worker must know each second, in one statement."""
        told: dict[int, list[tuple[Any, int]]] = {}
        for kind, text, number in self._db.query(self._queries.requests, (worker, worker, self.clock.now())):
            told.setdefault(kind, []).append((text, number))
        return Requests(
            asked=next((text for text, _ in told.get(_ASKED, ())), None),
            paused=frozenset(text for text, _ in told.get(_PAUSED, ())),
            kills=tuple(number for _, number in told.get(_KILL, ())),
            next_due=next((number for _, number in told.get(_DUE, ())), None),
            followed=tuple(number for _, number in told.get(_FOLLOWED, ())),
        )

    def owners(self) -> list[str]:
        """The workers that hold leases."""
        return [row[0] for row in self._rows(self._queries.owners)]

    def held_by(self, worker: str) -> list[Held]:
        """What a worker holds, in claim order."""
        held = self._rows(self._queries.held_by, (worker,))
        return [Held(Claimed._make(row[:-2]), *row[-2:]) for row in held]

    def take_over(self, worker: str, *, heir: str) -> list[Held]:
        """Move leases of a worker that have ended to another one, under a new token; returns these.

        Whatever the old worker says about them from now on comes too late.
        """
        now, token = self.clock.now(), self._random.getrandbits(62) or 1
        ended = sorted(held.job.id for held in self.held_by(worker) if held.until <= now)
        if not ended:
            return []
        self._db.execute(self._queries.take_over, (heir, token, self._db.many(ended), worker, now))
        return [held for held in self.held_by(heir) if held.job.token == token]

    def promote(self, now: int) -> int:
        """Make scheduled, retrying and waiting jobs that are due ready (blocked if their group is held).

        Only this host's workers are woken: those of others know themselves when a job is due.
        """
        total = 0
        while self._is_due(now):
            due = self._rows(self._queries.due, (now, BATCH))
            total += self._db.transact(partial(self._promote, due, now))
            for job_id, _ in due:
                step(job_id, "due")
        if total:
            self._announce()
        return total

    def _promote(self, due: Sequence[tuple[int, str | None]], now: int, tx: Transaction) -> int:
        groups = sorted({group for _, group in due if group is not None})
        holders: dict[str, int] = dict(tx.query(self._queries.holders, (self._db.many(groups),))) if groups else {}
        blocked = [job_id for job_id, group in due if group and holders.get(group, job_id) != job_id]
        ready = sorted({job_id for job_id, _ in due}.difference(blocked))
        return sum(
            tx.execute(self._queries.promote, (state, self._db.many(sorted(ids)), now)).rowcount
            for state, ids in (("ready", ready), ("blocked", blocked))
            if ids
        )

    def _is_due(self, now: int) -> bool:
        # A look first: a statement that may write takes the write lock even for nothing.
        due = self.next_due()
        return due is not None and due <= now

    def next_due(self) -> int | None:
        """The instant at which the next scheduled, retrying or waiting job is due."""
        return self._rows(self._queries.next_due)[0][0]  # type: ignore[no-any-return]


def _due(jobs: Sequence[NewJob], enqueued: Sequence[Enqueued], now: int) -> list[tuple[str, int]]:
    """The queue and id of each job that is new and due."""
    return [
        (job.queue, new.id)
        for job, new in zip(jobs, enqueued, strict=True)
        if not new.existing and (job.available_at is None or job.available_at <= now)
    ]


class _Claim(NamedTuple):
    """One claim on its way: under which lease, when, with which token, for which rows."""

    lease: Lease
    now: int
    token: int
    chosen: list[int]
