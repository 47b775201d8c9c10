"""Answer requests for the pages of batches and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from flask import request

from cronq.errors import JobNotFound, Unavailable
from cronq.flow import limit_views
from cronq.model.job import UNFINISHED
from cronq.render.limits import to_json
from cronq.web import query
from cronq.web.answers import answer, wants_json
from cronq.web.pages import ID, behind, census
from cronq.web.snapshots import QUICK
from cronq.web.tallies import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flask import Flask, Response

    from cronq.model.batch import BatchRow
    from cronq.storage.flow_stats import LimitStats
    from cronq.storage.stats import QueueStats

_BATCHES = 20
_FOLLOWING = 20
_LINE = 20


class Shown(NamedTuple):
    """A batch and its jobs by state."""

    batch: BatchRow
    counted: Mapping[str, int] | None
    """None while they are being counted."""

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of its jobs in each state; empty while they are being counted."""
        return self.counted or {}

    @property
    def members(self) -> int:
        """The number of its jobs."""
        return sum(self.counts.values())

    @property
    def ended(self) -> int:
        """The number of its jobs that have ended."""
        return sum(number for state, number in self.counts.items() if state not in frozenset[str](UNFINISHED))

    def to_json(self) -> dict[str, Any]:
        """Return the batch with its documented field names. Raises Unavailable while its jobs are being counted."""
        if self.counted is None:
            raise Unavailable(f"the jobs of {self.batch.label} are being counted: ask again in a moment")
        return self.batch.to_json(self.counted)


def _with_counts(rows: Sequence[BatchRow]) -> list[Shown]:
    """Add the jobs by state to batches.

    A request for JSON waits up to PATIENCE seconds for the numbers, one for a page up to QUICK,
    because a page shows them when it is loaded again.
    """
    patience = PATIENCE if wants_json() else QUICK
    tallies = behind().tallies.of([one.id for one in rows], patience=patience)
    return [Shown(row, tally) for row, tally in zip(rows, tallies, strict=True)]


def register(app: Flask) -> None:
    """Add the pages to the application."""
    for rule, view in (
        ("/batches", batches),
        (f"/batches/<{ID}:batch_id>", batch),
        ("/limits", limits),
        ("/limit", limit),
    ):
        app.add_url_rule(rule, view.__name__, view, methods=["GET"])


def batches() -> Response:
    """Show batches, the newest first, or only those that have not ended."""
    stats, store = census().value, behind().store
    before, unended = query.identifier(request.args.get("before")), request.args.get("unended") == "yes"
    rows = store.batches.unended(_BATCHES) if unended else store.batches.newest(_BATCHES + 1, before=before)
    shown = _with_counts(rows[:_BATCHES])
    return answer(
        "batches.html",
        lambda: [one.to_json() for one in shown],
        batches=shown,
        older=shown[-1].batch.id if len(rows) > _BATCHES else None,
        before=before,
        unended=unended,
        stats=stats,
    )


def batch(batch_id: int) -> Response:
    """Show one batch: its jobs by state, and what comes after it. Raises JobNotFound."""
    stats, store = census().value, behind().store
    found = store.batches.get(batch_id)
    if found is None:
        raise JobNotFound(f"There is no batch {batch_id}.")
    (shown,) = _with_counts([found])
    following = store.flow.children(-batch_id, limit=_FOLLOWING)
    return answer("batch.html", shown.to_json, shown=shown, batch=found, following=following, stats=stats)


def limits() -> Response:
    """Show all limits: what each allows, the places taken, the jobs that wait."""
    stats = census().value
    shown = [one for one in stats.limits if one.is_shown]
    return answer("limits.html", lambda: [to_json(one) for one in stats.limits], limits=shown, stats=stats)


def limit() -> Response:
    """Show one limit: the jobs that have its places, and the first ones that wait for one. Raises JobNotFound."""
    stats, store = census().value, behind().store
    view = _limit(stats, request.args.get("name", ""))
    held = limit_views.held(store.tables, view.name)
    line = limit_views.waiting_jobs(store.tables, view.name, _LINE)
    return answer(
        "limit.html",
        lambda: {**to_json(view), "held": [one.job_id for one in held], "line": [job_id for job_id, *_ in line]},
        view=view,
        held=held,
        line=line,
        stats=stats,
    )


def _limit(stats: QueueStats, name: str) -> LimitStats:
    for one in stats.limits:
        if one.name == name:
            return one
    raise JobNotFound(f"There is no limit {name!r}.")
