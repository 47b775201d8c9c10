"""Insert new jobs exactly once, also when the database's answer gets lost.

On a server each new row has a token from its call, unique together with the call's instant. An
INSERT or COMMIT whose answer got lost is repeated: if the jobs were stored, the repetition meets
their tokens, even if they have been claimed, run and ended meanwhile; if the first one is still
in progress, the repetition waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.model.job import SETTINGS, Enqueued
from cronq.storage import rows
from cronq.storage.drivers.database import Duplicate
from cronq.storage.sql.columns import ENQUEUE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from random import Random
    from typing import Protocol

    from cronq.model.job import NewJob
    from cronq.storage.drivers.caller_connection import CallerConnection
    from cronq.storage.drivers.database import Connection, Transaction
    from cronq.storage.tables import Tables

    Ties = Callable[[Connection, Sequence[NewJob], Sequence[Enqueued]], None]
    """The function that stores what new jobs come after, and the batches and limits that they are in."""

    class Inserts(Protocol):
        """Stores new jobs, as `Inserter` does."""

        def accept(self, jobs: Sequence[NewJob], *, now: int) -> list[Enqueued]:
            """Store all jobs or none."""

        def accept_with(self, begin: Callable[[Transaction], Sequence[NewJob]], *, now: int) -> list[Enqueued]:
            """Store in one transaction what `begin` writes and the jobs that it returns."""

        def accept_through(self, connection: CallerConnection, jobs: Sequence[NewJob], *, now: int) -> list[Enqueued]:
            """Store all jobs or none in the caller's transaction."""

        def accept_in(self, tx: Transaction, job: NewJob, *, now: int) -> Enqueued:
            """Store one job in a transaction of the store's own."""


_BITS = 62

_ARGS = ENQUEUE_COLUMNS.index("args")
"""The place of the arguments in a row."""

_AT_ONCE = 500
"""The number of jobs whose arguments are sent in one parameter: its length is limited."""


class _Call(NamedTuple):
    """The instant of one call, and the token of its first job; the other jobs have the numbers after it."""

    now: int
    token: int | None


class Inserter:
    """Inserts new jobs in their first state: scheduled, ready, blocked if their group is held, or pending."""

    def __init__(self, tables: Tables, chance: Random, tie: Ties) -> None:
        self._tables = tables
        self._sql = tables.sql
        self._chance = chance
        self._tie = tie
        self._has_tokens = tables.sql.dialect.has_tokens
        self._inserts_lists = tables.sql.dialect.inserts_lists

    def accept(self, jobs: Sequence[NewJob], *, now: int) -> list[Enqueued]:
        """Store all jobs or none; returns the ids, for a unique job whose key an unfinished one has that one's id.

        The caller has opened the tables.
        """
        database = self._tables.database
        usual = rows.usual_row(jobs[0], now) if len(jobs) == 1 and not self._has_tokens else None
        if usual is not None:
            return [Enqueued(database.insert(self._sql.enqueue.enqueue_usual, usual), existing=False)]
        call = _Call(now, self._chance.getrandbits(_BITS) if self._has_tokens else None)
        try:
            if len(jobs) == 1 and not is_tied(jobs[0]):
                return [self._insert(database, jobs[0], call)]
            return database.transact(lambda tx: self._insert_tied(tx, jobs, call))
        except Duplicate:
            if not self._has_tokens:
                raise
            return self._stored(jobs, call)

    def accept_with(self, begin: Callable[[Transaction], Sequence[NewJob]], *, now: int) -> list[Enqueued]:
        """Store in one transaction what `begin` writes and the jobs that it returns, all or none."""
        call = _Call(now, self._chance.getrandbits(_BITS) if self._has_tokens else None)
        jobs: Sequence[NewJob] = ()

        def work(tx: Transaction) -> list[Enqueued]:
            nonlocal jobs
            jobs = begin(tx)
            return self._insert_tied(tx, jobs, call) if jobs else []

        try:
            return self._tables.open().transact(work)
        except Duplicate:
            if not self._has_tokens:
                raise
            return self._stored(jobs, call)

    def accept_through(self, connection: CallerConnection, jobs: Sequence[NewJob], *, now: int) -> list[Enqueued]:
        """Store all jobs or none in the caller's transaction, which the caller commits."""
        call, samples = _Call(now, None), _samples(jobs)
        if len(jobs) == 1 or any(job.unique for job in samples):
            enqueued = [self._insert(connection, job, call) for job in jobs]
        else:
            enqueued = self._insert_new(connection, jobs, samples, call)
        if any(map(is_tied, samples)):
            self._tie(connection, jobs, enqueued)
        return enqueued

    def accept_in(self, tx: Transaction, job: NewJob, *, now: int) -> Enqueued:
        """Store one job in a transaction of the store's own, which may be repeated."""
        enqueued = self._insert(tx, job, _Call(now, self._chance.getrandbits(_BITS) if self._has_tokens else None))
        if is_tied(job):
            self._tie(tx, [job], [enqueued])
        return enqueued

    def _row(self, job: NewJob, call: _Call, number: int = 0, *, blocked: bool = False) -> tuple[Any, ...]:
        row = rows.new_row(job, call.now, blocked=blocked)
        if self._has_tokens:
            row = (*row, None if call.token is None else call.token + number)
        return row if job.notes is None else (*row, job.notes)

    def _statement(self, jobs: Sequence[NewJob]) -> str:
        return self._sql.enqueue.enqueue if jobs[0].notes is None else self._sql.enqueue.enqueue_noted

    # One

    def _insert(self, connection: Connection, job: NewJob, call: _Call) -> Enqueued:
        sql, row = self._statement((job,)), self._row(job, call)
        if job.group:
            texts = self._sql.enqueue
            sql = texts.enqueue_grouped if job.notes is None else texts.enqueue_grouped_noted
            row = (job.group, *row)
        if not job.unique:
            return Enqueued(connection.insert(sql, row), existing=False)
        while True:
            job_id = connection.insert_unless_twin(sql, row)
            if job_id is not None:
                return Enqueued(job_id, existing=False)
            found = self._met(connection, job, call)
            if found:  # else the twin has ended meanwhile
                return found

    def _met(self, connection: Connection, job: NewJob, call: _Call) -> Enqueued | None:
        """Find what prevented the INSERT of a unique job: its twin, or the job itself after a lost answer, or None."""
        if call.token is not None:
            itself = connection.query(self._sql.enqueue.arrived, (call.now, call.token, call.token))
            if itself:
                return Enqueued(itself[0][0], existing=False)
        twin = connection.query(self._sql.enqueue.twin, (job.key,))
        return Enqueued(twin[0][0], existing=True) if twin else None

    # Many

    def _insert_tied(self, tx: Transaction, jobs: Sequence[NewJob], call: _Call) -> list[Enqueued]:
        samples = _samples(jobs)
        enqueued = self._insert_all(tx, jobs, samples, call)
        if any(map(is_tied, samples)):
            self._tie(tx, jobs, enqueued)
        return enqueued

    def _insert_all(
        self, tx: Transaction, jobs: Sequence[NewJob], samples: Sequence[NewJob], call: _Call
    ) -> list[Enqueued]:
        if not any(job.unique for job in samples):
            return self._insert_new(tx, jobs, samples, call)
        if not self._has_tokens:
            return [self._insert(tx, job, call) for job in jobs]
        return self._insert_unless_twins(tx, jobs, self._rows(jobs, call, self._held(tx, samples)), call)

    def _insert_new(
        self,
        connection: Transaction | CallerConnection,
        jobs: Sequence[NewJob],
        samples: Sequence[NewJob],
        call: _Call,
    ) -> list[Enqueued]:
        """Insert many jobs that are not unique."""
        if not jobs:
            return []
        held = self._held(connection, samples)
        if self._inserts_lists and len(samples) == 1:
            return self._insert_alike(connection, jobs, self._row(jobs[0], call, blocked=jobs[0].group in held))
        new = self._rows(jobs, call, held)
        return _new(connection.insert_many(self._statement(jobs), new))

    def _held(self, connection: Connection, jobs: Sequence[NewJob]) -> Collection[str]:
        """Return those of the jobs' groups that another job holds."""
        groups = sorted({job.group for job in jobs if job.group})
        if not groups:
            return ()
        return {row[0] for row in connection.query(self._sql.groups.holders, (self._tables.database.many(groups),))}

    def _rows(self, jobs: Sequence[NewJob], call: _Call, held: Collection[str]) -> list[tuple[Any, ...]]:
        return [self._row(job, call, number, blocked=job.group in held) for number, job in enumerate(jobs)]

    def _insert_alike(self, connection: Connection, jobs: Sequence[NewJob], first: tuple[Any, ...]) -> list[Enqueued]:
        """Insert many jobs with one statement: a third of the time that one for each takes, on SQLite."""
        sql = self._sql.enqueue.enqueue_alike if jobs[0].notes is None else self._sql.enqueue.enqueue_alike_noted
        ids: list[int] = []
        for start in range(0, len(jobs), _AT_ONCE):
            texts = [job.args for job in jobs[start : start + _AT_ONCE]]
            many = self._tables.database.many(texts)
            last = connection.insert(sql, (*first[:_ARGS], *first[_ARGS + 1 :], many))
            ids += range(last - len(texts) + 1, last + 1)  # one statement is the only writer: no gaps
        return _new(ids)

    def _insert_unless_twins(
        self, tx: Transaction, jobs: Sequence[NewJob], new: Sequence[tuple[Any, ...]], call: _Call
    ) -> list[Enqueued]:
        """Insert many jobs with one statement, then read which were stored, and the twins of the others."""
        found: dict[int, Enqueued] = {}
        if self._sql.enqueue.lock_keys and sum(job.unique for job in jobs) > 1:
            tx.query(self._sql.enqueue.lock_keys)
        while len(found) < len(jobs):  # a twin may have ended meanwhile
            missing = [number for number in range(len(jobs)) if number not in found]
            tx.insert_unless_twins(self._statement(jobs), [new[number] for number in missing])
            found.update(self._arrived(tx, len(jobs), call))
            keys = sorted({str(jobs[number].key) for number in missing if number not in found})
            twins: dict[str, int] = (
                dict(tx.query(self._sql.enqueue.twins, (self._tables.database.many(keys),))) if keys else {}
            )
            for number in missing:
                twin = twins.get(str(jobs[number].key))
                if number not in found and twin is not None:
                    found[number] = Enqueued(twin, existing=True)
        return [found[number] for number in range(len(jobs))]

    def _arrived(self, connection: Connection, count: int, call: _Call) -> dict[int, Enqueued]:
        """Read which of a call's jobs are stored, by their number in the call."""
        first = call.token or 0
        there = connection.query(self._sql.enqueue.arrived, (call.now, first, first + count - 1))
        return {token - first: Enqueued(job_id, existing=False) for job_id, token in there}

    def _stored(self, jobs: Sequence[NewJob], call: _Call) -> list[Enqueued]:
        """Read the ids of a call's jobs after an earlier try, whose answer got lost, has stored them."""
        there = self._arrived(self._tables.open(), len(jobs), call)
        return [there[number] for number in range(len(jobs))]


def is_tied(job: NewJob) -> bool:
    """Tell whether a new job comes after others, is in a batch, or is under a limit."""
    return bool(job.after) or job.batch is not None or job.limit is not None


def _new(ids: Iterable[int]) -> list[Enqueued]:
    return [tuple.__new__(Enqueued, (job_id, False)) for job_id in ids]  # Enqueued(…) takes twice as long


def _samples(jobs: Sequence[NewJob]) -> Sequence[NewJob]:
    """Return only the first job if the others differ from it in nothing but their arguments, else all."""
    task, settings = (jobs[0].task, jobs[0][SETTINGS:]) if jobs else ("", ())
    return jobs[:1] if all(job.task == task and job[SETTINGS:] == settings for job in jobs) else jobs
