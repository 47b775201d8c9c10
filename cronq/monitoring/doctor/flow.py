"""Check for batches and limits because of which jobs wait for ever, or for long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.monitoring.doctor.finding import Finding, fine, warning
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


def waiting(installation: Installation) -> Iterator[Finding]:
    """Find limits under which a job has been waiting for a place for long."""
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
