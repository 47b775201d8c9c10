"""Read pages of jobs for a list, newest first, without their payloads.

The cost of a page doesn't depend on the number of jobs: they are found by an index, or among the newest WINDOW ids
before the page's end. In that case the page has the id at which the search stopped.
"""

from __future__ import annotations

import json
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.model.job import State
from cronq.model.selection import Filter, has_patterns
from cronq.model.states import ENDED, FUTURE
from cronq.storage import conditions, failure_groups
from cronq.storage.sql.columns import FUTURE_STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cronq.model.selection import Selection
    from cronq.storage.tables import Tables

WINDOW = 100_000
"""The number of ids that are searched for one page if no index serves its filter."""

SEARCHED = 25_000
"""The same for a search of texts, which takes longer."""

FEW = 20_000
"""The largest number of jobs in a state with which they are read by the index of that state."""

_BATCH = 1000
_SHORT = 2000
_COLUMNS = (
    "id, queue, task, state, priority, attempt, max_attempts, job_key, job_group, created_at, available_at,"
    " started_at, finished_at, outcome, host, worker, error_class, substr(error_message, 1, 300),"
    f" CASE WHEN length(args) <= {_SHORT} THEN args END, schedule"
)
_BY_INDEX = {
    "running": "lease_until IS NOT NULL",
    "blocked": "job_group IS NOT NULL",
    **dict.fromkeys(ENDED, "finished_at IS NOT NULL"),
    **dict.fromkeys(FUTURE, FUTURE_STATES),
}
"""The condition of the partial index that serves a state, to be added to the condition on the state."""

_LAST_EVENT = "coalesce(finished_at, started_at, created_at)"


class JobRow(NamedTuple):
    """A job in a list; times are instants."""

    id: int
    queue: str
    task: str
    state: str
    priority: int
    attempt: int
    max_attempts: int
    key: str | None
    group: str | None
    created_at: int
    available_at: int
    started_at: int | None
    finished_at: int | None
    outcome: str | None
    host: str | None
    worker: str | None
    error_class: str | None
    error_message: str | None
    """The first 300 characters."""
    args_text: str | None
    """The arguments as JSON; None if they are long."""
    schedule: str | None

    @property
    def args(self) -> Any:
        """The arguments; None if they are long or can't be read."""
        try:
            return None if self.args_text is None else json.loads(self.args_text)
        except (ValueError, RecursionError):
            return None


class Page(NamedTuple):
    """Some jobs of a list, newest first."""

    jobs: list[JobRow]
    older: int | None
    """The `before` of the next page; None on the last page."""
    looked_to: int | None
    """The lowest id that was searched, if no index served the filter and there are lower ones; else None."""


class JobBrowser:
    """Reads lists of jobs. `count` returns the number of jobs in a state and some queues; it may be out of date."""

    def __init__(self, tables: Tables, count: Callable[[str, Iterable[str]], int]) -> None:
        self._tables = tables
        self._sql = tables.sql
        self._count = count

    def page(
        self,
        selection: Selection,
        *,
        before: int | None = None,
        limit: int = 50,
        admits: Callable[[JobRow], bool] | None = None,
    ) -> Page:
        """Read the newest selected jobs with ids below `before`, without those for which `admits` returns False."""
        newest, oldest = (found or 0 for found in self._tables.query(self._sql.reads.newest_and_oldest)[0])
        end = newest + 1 if before is None else min(before, newest + 1)
        search = _Search(self, selection, end, admits, batch=limit + 1)
        jobs = list(islice(search.jobs(), limit + 1))
        if len(jobs) > limit:
            return Page(jobs[:limit], jobs[limit - 1].id, search.floor if search.floor > oldest else None)
        more = search.floor > oldest
        return Page(jobs, search.floor if more else None, search.floor if more else None)

    def all(self, selection: Selection, *, admits: Callable[[JobRow], bool] | None = None) -> Iterator[JobRow]:
        """Read all selected jobs, newest first; those of one page's ids only, if no index serves the filter."""
        newest = self._tables.query(self._sql.reads.newest_and_oldest)[0][0] or 0
        return _Search(self, selection, newest + 1, admits).jobs()

    def is_exact(self, selection: Selection) -> bool:
        """Tell whether an index serves the selection, or has no condition, so that each id is a match."""
        if selection.keys or selection.groups or selection.ids or selection.batches:
            return True
        if selection.states:
            return all(self._count(state, selection.queues) <= FEW for state in selection.states - {State.PENDING})
        return selection == type(selection)()

    def rows(
        self, selection: Selection, bounds: tuple[int, int], *, scan: bool, size: int = _BATCH
    ) -> Iterator[JobRow]:
        """Read the selected jobs between two ids, the second exclusive, newest first: `size` in the first batch.

        `scan` reads the table in the order of ids, instead of by the index of a state.
        """
        floor, end = bounds
        while True:
            batch = self._batch(selection, (floor, end), scan=scan, size=size)
            yield from batch
            if len(batch) < size:
                return
            end, size = batch[-1].id, _BATCH

    def _batch(self, selection: Selection, bounds: tuple[int, int], *, scan: bool, size: int) -> list[JobRow]:
        names = tuple(Filter(selection.queues).admitted(self._queues())) if has_patterns(selection.queues) else ()
        chosen = selection._replace(queues=names or ("",)) if has_patterns(selection.queues) else selection
        timed = chosen._replace(since=None, until=None)
        where, parameters = conditions.where(timed, self._tables)
        terms = [where, "id >= ?", "id < ?", *self._beside(selection, scan=scan)]
        parameters += list(bounds)
        for sign, instant in ((">=", selection.since), ("<=", selection.until)):
            if instant is not None:
                terms.append(f"{_LAST_EVENT} {sign} ?")
                parameters.append(instant)
        table = self._sql.names.jobs + (self._sql.dialect.in_id_order if scan else "")
        sql = f"SELECT {_COLUMNS} FROM {table} WHERE {' AND '.join(terms)} ORDER BY id DESC LIMIT {size}"
        return [JobRow._make(row) for row in self._tables.query(sql, parameters)]

    def _beside(self, selection: Selection, *, scan: bool) -> Sequence[str]:
        if scan or len(selection.states) != 1:
            return ()
        (state,) = selection.states
        return [_BY_INDEX[state]] if state in _BY_INDEX else []

    def _queues(self) -> list[str]:
        return [row[0] for row in self._tables.query(self._sql.reads.queues)]


class _Search:
    """Finds the jobs of one page, or of a whole list."""

    def __init__(
        self,
        browser: JobBrowser,
        selection: Selection,
        end: int,
        admits: Callable[[JobRow], bool] | None,
        *,
        batch: int = _BATCH,
    ) -> None:
        self._batch = batch
        self._browser = browser
        self._marks = conditions.fingerprints(selection)
        self._errors = selection.errors
        self._selection = selection
        self._end = end
        self._admits = admits
        self._exact = browser.is_exact(selection)
        window = WINDOW if selection.search is None else SEARCHED
        self.floor = 0 if self._exact else max(0, end - window)

    def jobs(self) -> Iterator[JobRow]:
        """Return the jobs that are selected and admitted, newest first."""
        return (job for job in self._all() if self._fits(job) and (self._admits is None or self._admits(job)))

    def _all(self) -> Iterator[JobRow]:
        bounds = (self.floor, self._end)
        states = sorted(self._selection.states)
        if self._exact and len(states) > 1:  # each by its own index
            each = (self._browser.rows(self._in(state), bounds, scan=False, size=self._batch) for state in states)
            return merge(*each, key=lambda job: -job.id)
        # The jobs of a batch are found by its members; by the index of a state, MariaDB would read all failed jobs.
        scan = not self._exact or not states or bool(self._selection.batches)
        return self._browser.rows(self._selection, bounds, scan=scan, size=self._batch)

    def _in(self, state: str) -> Selection:
        return self._selection._replace(states=frozenset({state}))

    def _fits(self, job: JobRow) -> bool:
        if not self._marks:
            return True
        subject = (job.args_text or "")[:300] if job.task == "command" else None
        row = (job.task, subject, job.error_class or "", job.error_message)
        return job.error_class is not None and failure_groups.fits(row, self._marks, self._errors)
