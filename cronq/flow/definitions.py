"""Store the limits that jobs name: the configuration's bounds for them, and those that a user has set over these."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cronq.model.limits import Bounds, Limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cronq.model.job import Enqueued, NewJob
    from cronq.storage.drivers.database import Connection
    from cronq.storage.tables import Tables


class Defined(NamedTuple):
    """The row of a limit."""

    name: str
    pattern: str
    bounds: Bounds
    """The bounds in the configuration; empty for a limit that a pattern defines."""
    own: Bounds
    """The bounds that a user has set over the configuration's."""


class Definitions:
    """Reads and changes the rows of limits, and puts new jobs under their limits."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sql = tables.sql

    def ensure(self, connection: Connection, limits: Iterable[Limit], *, renew: bool) -> None:
        """Add a row for each limit that has none; with `renew`, also update rows to the changed bounds of `limits`."""
        wanted = {limit.pattern: Limit(limit.pattern, limit.pattern, limit.bounds) for limit in limits}
        wanted.update({limit.name: limit._replace(bounds=Bounds()) for limit in limits if limit.name != limit.pattern})
        there = {one.name: one for one in self._read(connection, sorted(wanted))}
        for name, limit in sorted(wanted.items()):
            found = there.get(name)
            if found is None:
                connection.execute(self._sql.limits.define, (name, limit.pattern, *limit.bounds))
            elif renew and found.name == limit.pattern and found.bounds != limit.bounds:
                connection.execute(self._sql.limits.redefine, (*limit.bounds, name))

    def renew(self, configured: Mapping[str, Bounds]) -> list[str]:
        """Update the rows to the configuration's bounds; returns the names of the limits that this has changed."""
        changed: list[str] = []
        for one in self._read(self._tables.open(), sorted(configured)) if configured else ():
            if one.name == one.pattern and one.bounds != configured[one.name]:
                self._tables.open().execute(self._sql.limits.redefine, (*configured[one.name], one.name))
                changed += self.under(one.name)
        return changed

    def under(self, pattern: str) -> list[str]:
        """Return the names of the limits that this key of the configuration defines."""
        return [name for (name,) in self._tables.query(self._sql.limits.under, (pattern,))]

    def set(self, name: str, own: Bounds, defined: Limit | None) -> list[str] | None:
        """Set bounds over the configuration's; returns the names of the limits changed, None for an unknown one."""
        database = self._tables.open()
        if defined is not None:
            self.ensure(database, [defined], renew=True)
        found = self._read(database, [name])
        if not found:
            return None
        database.execute(self._sql.limits.set, (*own, name))
        return sorted({name, *self.under(name)})

    def of(self, ids: Iterable[int]) -> dict[int, Limit]:
        """Read the limit of each of these jobs that is under one, for copies of the jobs."""
        found = self._tables.query(self._sql.limits.of, (self._tables.database.many(list(ids)),))
        names = sorted({name for _, name, *_ in found})
        patterns = {one.name: one.pattern for one in self._read(self._tables.open(), names)} if names else {}
        shared = sorted(set(patterns.values()))
        bounds = {one.name: one.bounds for one in self._read(self._tables.open(), shared)} if shared else {}
        return {
            job_id: Limit(name, patterns[name], bounds.get(patterns[name], Bounds()))
            for job_id, name, *_ in found
            if name in patterns
        }

    def get(self, name: str) -> Defined | None:
        """Read one limit; None if it has no row."""
        return next(iter(self._read(self._tables.open(), [name])), None)

    def _read(self, connection: Connection, names: Sequence[str]) -> list[Defined]:
        found = connection.query(self._sql.limits.defined, (self._tables.database.many(names),))
        return [Defined(row[0], row[1], Bounds(*row[2:5]), Bounds(*row[5:8])) for row in found]

    def tie(self, connection: Connection, jobs: Sequence[NewJob], enqueued: Sequence[Enqueued]) -> None:
        """Put each new job under the limit that it names, if any, in the transaction that stores the jobs."""
        by_limit: dict[Limit, list[int]] = {}
        for job, new in zip(jobs, enqueued, strict=True):
            if job.limit is not None and not new.existing:
                by_limit.setdefault(job.limit, []).append(new.id)
        for limit, ids in sorted(by_limit.items()):
            self.ensure(connection, [limit], renew=False)
            for start in range(0, len(ids), _AT_ONCE):
                chosen = self._tables.database.many(ids[start : start + _AT_ONCE])
                connection.execute(self._sql.limits.mark, (chosen,))
                connection.execute(self._sql.limits.add, (limit.name, self._tables.clock.now(), chosen))
            connection.execute(self._sql.flow.note, (ids[0],))


_AT_ONCE = 1000
