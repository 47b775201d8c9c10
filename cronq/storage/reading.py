"""Read jobs, their attempts and output, and counts; changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cronq.model.job import NewJob, State
from cronq.model.selection import NEWEST_FIRST, Filter, has_patterns
from cronq.storage import conditions, failure_groups, rows, stats
from cronq.storage.sql.failures import FAILURE_COLUMNS, failures

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cronq.model.job import Attempt, Job
    from cronq.model.selection import Selection
    from cronq.storage.failure_groups import FailureGroup
    from cronq.storage.progress import ProgressRows
    from cronq.storage.stats import QueueStats
    from cronq.storage.tables import Tables


_LARGEST_ID = 2**63 - 1
_NO_QUEUE = ("",)
"""A name that no queue has."""


class JobReader:
    """Reads jobs, their attempts and output, and counts them."""

    def __init__(self, tables: Tables, progress: ProgressRows) -> None:
        self._tables = tables
        self._sql = tables.sql
        self._progress = progress

    def get(self, job_id: int) -> Job | None:
        """Read the job with this id, None if there is none."""
        if job_id > _LARGEST_ID:
            return None
        jobs = self._jobs(f"{self._sql.reads.job} WHERE id = ?", (job_id,))
        return jobs[0] if jobs else None

    def _jobs(self, sql: str, parameters: Sequence[Any]) -> list[Job]:
        jobs = [rows.job(row) for row in self._tables.query(sql, parameters)]
        running = [job.id for job in jobs if job.state == State.RUNNING]
        shown = self._progress.of(running) if running else {}
        return [job._replace(progress=shown[job.id]) if job.id in shown else job for job in jobs] if shown else jobs

    def as_new(self, ids: Iterable[int]) -> dict[int, NewJob]:
        """Return new jobs with the task, arguments and options of these, due at once, by the ids of these.

        What they come after, their batch, limit and notes are left out.
        """
        found = self._tables.query(self._sql.reads.as_new, (self._tables.database.many(list(ids)),))
        return {job_id: rows.again(values) for job_id, *values in found}

    def find(self, selection: Selection, *, limit: int | None = None, sort: str = NEWEST_FIRST) -> list[Job]:
        """Read the selected jobs, newest first or in the order of one of SORTS."""
        if conditions.fingerprints(selection):
            chosen = self.ids(selection)[::-1][: limit if sort == NEWEST_FIRST else None]
            alike = selection._replace(errors=(), ids=tuple(chosen))
            return self.find(alike, limit=limit, sort=sort) if chosen else []
        where, parameters = self._where(selection)
        sql = f"{self._sql.reads.job} WHERE {where} ORDER BY {conditions.order(sort)} LIMIT ?"
        return self._jobs(sql, (*parameters, _LARGEST_ID if limit is None else limit))

    def ids(self, selection: Selection) -> list[int]:
        """Read the ids of the selected jobs, ascending."""
        marks = conditions.fingerprints(selection)
        where, parameters = self._where(selection)
        asked = f"{FAILURE_COLUMNS}, id" if marks else "id"
        found = self._tables.query(f"SELECT {asked} FROM {self._sql.names.jobs} WHERE {where} ORDER BY id", parameters)
        return [row[-1] for row in found if not marks or failure_groups.fits(row, marks, selection.errors)]

    def count(self, selection: Selection) -> int:
        """Count the selected jobs."""
        return sum(row[-1] for row in self.breakdown(selection))

    def count_up_to(self, selection: Selection, limit: int) -> int:
        """Count the selected jobs, up to `limit`."""
        if conditions.fingerprints(selection):
            return min(len(self.ids(selection)), limit)
        where, parameters = self._where(selection)
        sql = f"SELECT count(*) FROM (SELECT id FROM {self._sql.names.jobs} WHERE {where} LIMIT ?) AS selected"
        return self._tables.query(sql, (*parameters, limit))[0][0]  # type: ignore[no-any-return]

    def breakdown(self, selection: Selection) -> list[tuple[str, str, str, int]]:
        """Count the selected jobs; returns rows of queue, state, task and number, sorted."""
        if conditions.fingerprints(selection):
            ids = tuple(self.ids(selection))
            return self.breakdown(selection._replace(errors=(), ids=ids)) if ids else []
        where, parameters = self._where(selection)
        sql = (
            f"SELECT queue, state, task, count(*) FROM {self._sql.names.jobs} WHERE {where} GROUP BY queue, state, task"
        )
        return sorted((row[0], row[1], row[2], row[3]) for row in self._tables.query(sql, parameters))

    def failures(self, selection: Selection) -> list[FailureGroup]:
        """Read the selected jobs whose last attempt failed, grouped by fingerprint, the largest group first."""
        where, parameters = self._where(selection)
        found = self._tables.query(failures(self._sql.names, where), parameters)
        marks = conditions.fingerprints(selection)
        return failure_groups.grouped(
            row for row in found if not marks or failure_groups.fits(row, marks, selection.errors)
        )

    def queues(self) -> list[str]:
        """Read the names of the queues that have jobs, sorted."""
        return sorted(row[0] for row in self._tables.query(self._sql.reads.queues))

    def tasks(self) -> list[str]:
        """Read the names of the tasks that have jobs, sorted."""
        return sorted(row[0] for row in self._tables.query(self._sql.reads.tasks))

    def attempts(self, job_id: int) -> list[Attempt]:
        """Read the recorded attempts of a job, oldest first: those that failed, and those before a retry by hand."""
        return [rows.attempt(row) for row in self._tables.query(self._sql.reads.history, (job_id,))]

    def output(self, job_id: int) -> tuple[str | None, str | None]:
        """Read stdout and stderr of the last attempt as they are stored: the beginning and the end, or None."""
        found = self._tables.query(self._sql.reads.output, (job_id,))
        return (found[0][0], found[0][1]) if found else (None, None)

    def counts(self) -> list[tuple[str, str, int]]:
        """Count all jobs; returns rows of queue, state and number, sorted."""
        return sorted((row[0], row[1], row[2]) for row in self._tables.query(self._sql.reads.counts))

    def stats(self) -> QueueStats:
        """Read the statistics of the queue."""
        return stats.look(self._tables)

    def backlog(self) -> int:
        """Count the ready jobs."""
        return self._tables.query(self._sql.reads.backlog)[0][0]  # type: ignore[no-any-return]

    def ahead_of(self, job: Job) -> int:
        """Count the ready jobs that come before this one in its queue."""
        place = (job.queue, job.priority, job.priority, job.id, job.id, job.id)
        return self._tables.query(self._sql.reads.ahead, place)[0][0]  # type: ignore[no-any-return]

    def unfinished(self, keys: Iterable[str]) -> set[str]:
        """Return those of the keys that an unfinished job has."""
        wanted = list(keys)
        return (
            {row[0] for row in self._tables.query(self._sql.reads.unfinished, (self._tables.database.many(wanted),))}
            if wanted
            else set()
        )

    def running(self) -> list[tuple[str, int, str, int]]:
        """Read worker, id, task and start of each running job, sorted by worker and start."""
        return [(row[0], row[1], row[2], row[3]) for row in self._tables.query(self._sql.reads.in_hand)]

    def leased(self) -> list[tuple[int, str]]:
        """Read the id and queue of each job that runs, or that a runner has claimed to start next."""
        return [(row[0], row[1]) for row in self._tables.query(self._sql.reads.leased)]

    def finished_since(self, queue: str, since: int, *, limit: int) -> list[tuple[int, int]]:
        """Read end, and microseconds from due to start, of the newest jobs of a queue that finished after `since`."""
        return [(row[0], row[1]) for row in self._tables.query(self._sql.reads.lately_finished, (queue, since, limit))]

    def paused(self) -> set[str]:
        """Read the queues that are paused."""
        return {row[0] for row in self._tables.query(self._sql.claim.paused_queues)}

    def _where(self, selection: Selection) -> tuple[str, list[Any]]:
        if has_patterns(selection.queues):
            found = tuple(Filter(selection.queues).admitted(self.queues()))
            selection = selection._replace(queues=found or _NO_QUEUE)
        return conditions.where(selection, self._tables)
