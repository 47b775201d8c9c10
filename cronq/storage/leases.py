"""Renew the leases of claimed jobs, take over expired ones, and promote jobs that have become due."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from cronq.model.job import Claimed
from cronq.storage import limit_starts
from cronq.storage.sql.columns import LIMITED
from cronq.storage.tables import BATCH
from cronq.system.log import step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from cronq.storage.drivers.database import Transaction
    from cronq.storage.tables import Tables
    from cronq.storage.wake import Wake


class LeasedJob(NamedTuple):
    """A job under lease, with the instants of its claim and of the lease's end."""

    job: Claimed
    claimed_at: int
    until: int


class Leases:
    """Reads, renews and takes over the leases of runners, and promotes scheduled, retrying and waiting jobs."""

    def __init__(self, tables: Tables, random: Random, wake: Wake, *, follow_up: Callable[[], int]) -> None:
        self._tables = tables
        self._sql = tables.sql
        self._random = random
        self._wake = wake
        self._follow_up = follow_up

    def renew(self, worker: str, until: int, assigned: Mapping[int, int] | None = None) -> dict[int, int]:
        """Extend a worker's leases to `until`; returns the tokens of all jobs that it holds, by their ids.

        With `assigned`, which has the tokens of jobs by their ids, only the leases of these are extended.
        """
        leases, database = self._leases(worker), self._tables.open()
        kept = [job for job, token in leases.items() if assigned is None or assigned.get(job) == token]
        if kept:
            database.execute(self._sql.leases.renew, (until, database.many(kept), worker))
            leases = self._leases(worker)
        return leases

    def _leases(self, worker: str) -> dict[int, int]:
        return dict(self._tables.query(self._sql.leases.leases, (worker,)))

    def owners(self) -> list[str]:
        """Read the workers that hold leases."""
        return [row[0] for row in self._tables.query(self._sql.leases.owners)]

    def held_by(self, worker: str) -> list[LeasedJob]:
        """Read the jobs that a worker holds, in claim order."""
        held = self._tables.query(self._sql.leases.held_by, (worker,))
        return [LeasedJob(Claimed._make(job), claimed_at, until) for *job, claimed_at, until in held]

    def take_over(self, worker: str, *, new_owner: str) -> list[LeasedJob]:
        """Move a worker's expired leases to the worker `new_owner`, under a new token; returns the jobs moved.

        The old worker can't write outcomes for them any more.
        """
        now, token = self._tables.clock.now(), self._random.getrandbits(62) or 1
        ended = sorted(held.job.id for held in self.held_by(worker) if held.until <= now)
        if not ended:
            return []
        self._tables.open().execute(
            self._sql.leases.take_over, (new_owner, token, self._tables.database.many(ended), worker, now)
        )
        return [held for held in self.held_by(new_owner) if held.job.token == token]

    def promote(self, now: int) -> int:
        """Make due scheduled, retrying and waiting jobs ready, or blocked if their group is held; returns how many.

        Those under a limit become pending, and wait for a place. Only this host's workers are woken: those of other
        hosts promote jobs themselves.
        """
        total, limited = 0, False
        while self._is_due(now):
            due = self._tables.query(self._sql.leases.due, (now, BATCH))
            total += self._tables.open().transact(partial(self._promote, due, now))
            limited = limited or any(_is_limited(flow) for *_, flow in due)
            for job_id, *_ in due:
                step(job_id, "due")
        if limited:
            self._follow_up()
        if total:
            self._wake.announce_unnamed()
        return total

    def _promote(self, due: Sequence[tuple[int, str | None, int | None]], now: int, tx: Transaction) -> int:
        groups = sorted({group for _, group, flow in due if group is not None and not _is_limited(flow)})
        holders: dict[str, int] = (
            dict(tx.query(self._sql.groups.holders, (self._tables.database.many(groups),))) if groups else {}
        )
        under = [job_id for job_id, _, flow in due if _is_limited(flow)]
        # Another runner may have promoted some meanwhile, and these may have places already: they are left out.
        still_due = (self._tables.database.many(sorted(under)), now)
        limited = [row[0] for row in tx.query(self._sql.leases.still_due, still_due)] if under else []
        blocked = [job_id for job_id, group, _ in due if group and holders.get(group, job_id) != job_id]
        ready = sorted({job_id for job_id, *_ in due}.difference(blocked, under))
        if limited:
            limit_starts.record(self._tables, tx, limited)
        moved = sum(
            tx.execute(self._sql.leases.promote, (state, self._tables.database.many(sorted(ids)), now)).rowcount
            for state, ids in (("ready", ready), ("blocked", blocked))
            if ids
        )
        if limited:
            chosen = self._tables.database.many(limited)
            moved += tx.execute(self._sql.leases.promote_limited, (chosen, now)).rowcount
            tx.execute(self._sql.limits.wait_for_place, (chosen,))
            tx.execute(self._sql.flow.note_many, (chosen,))
        return moved

    def _is_due(self, now: int) -> bool:
        # Read first: an UPDATE takes the write lock even if it changes no row.
        due = self.next_due()
        return due is not None and due <= now

    def next_due(self) -> int | None:
        """Read the instant at which the next scheduled, retrying or waiting job is due; None if there is none."""
        return self._tables.query(self._sql.leases.next_due)[0][0]  # type: ignore[no-any-return]


def _is_limited(flow: int | None) -> bool:
    return flow is not None and bool(flow & LIMITED)
