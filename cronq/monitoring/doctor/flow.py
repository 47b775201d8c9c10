"""Check for batches and limits because of which jobs wait for ever, or for long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.flow import configured
from cronq.flow.circles import circles
from cronq.monitoring.doctor.finding import Finding, fine, problem, warning
from cronq.times import iso, span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.monitoring.doctor.context import Installation

_LONG = 3600.0


def open_batches(installation: Installation) -> Iterator[Finding]:
    """Find batches that were left open: all of their jobs have ended, and they never end by themselves."""
    stats = installation.stats
    for left in stats.batches.left_open if stats is not None else ():
        batch = left.batch
        yield warning(
            f"{batch.label} is open, and no job of it is left since {iso(left.idle_since)}; {batch.opened_by} opened"
            f" it at {iso(batch.opened_at)}",
            f"`cronq batch close {batch.id}` lets it end",
        )


def waiting_for_themselves(installation: Installation) -> Iterator[Finding]:
    """Find batches that wait for themselves, because two callers enqueued at the same moment."""
    if installation.database is None or installation.stats is None:
        return
    for circle in circles(installation.database, installation.sql):
        yield problem(
            f"batch {circle.batch} waits for itself: job {circle.job} of it comes after it, by way of others",
            f"`cronq release {circle.job}` lets that job go without what it waits for",
        )


def differing(installation: Installation) -> Iterator[Finding]:
    """Find limits that another host's configuration defines differently."""
    stats = installation.stats
    here = configured.configured(installation.config) if stats is not None else {}
    for one in configured.differing(stats.limits, installation.config) if stats is not None else ():
        yield warning(
            f"limit {one.name} is {here[one.name].text()} in this configuration, and"
            f" {one.configured.text() or 'undefined'} by the host that enqueued or ran last, which counts",
            "deploy the same [limits] to all hosts; the next run here takes over what this one says",
        )


def waiting(installation: Installation) -> Iterator[Finding]:
    """Find limits under which a job has been waiting for a place for more than an hour."""
    stats = installation.stats
    if stats is None or not stats.limits:
        return
    late = [one for one in stats.waiting_limits if one.waited(stats.now) > _LONG]
    for one in late:
        unknown = ": nothing defines it any more" if one.bounds == (None, None, None) else ""
        more = f"cronq limits set {one.name} {'N' if one.bounds.starts is None else '--rate N/D'}"
        yield warning(
            f"limit {one.text(stats.now)}{unknown}",
            f"`{more}` lets more of them start; `cronq why` of a job that waits says what holds the places",
        )
    if not late:
        number = len(stats.limits)
        oldest = max((one.waited(stats.now) for one in stats.waiting_limits), default=0.0)
        waits = f", the oldest job waits for {span(oldest)}" if oldest else ""
        yield fine(f"{number} limit{'' if number == 1 else 's'}{waits}")
