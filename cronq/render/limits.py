"""Write the bounds and the state of a limit: for the command line, for pages, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cronq.times import SECOND, iso, to_datetime

if TYPE_CHECKING:
    from cronq.model.limits import Bounds
    from cronq.storage.flow_stats import LimitStats


def allows(one: LimitStats) -> str:
    """Write the bounds of a limit as the configuration does, and whether they were set by hand."""
    return one.bounds.text() + (" (set by hand)" if any(one.own) else "")


def words(one: LimitStats) -> str:
    """Write the bounds of a limit in words: `5 at a time and 100 starts in 10s`."""
    allowed = [f"{one.bounds.concurrency:,} at a time"] if one.bounds.concurrency is not None else []
    if one.bounds.starts is not None:
        allowed.append(one.bounds.rate_words())
    by_hand = " (set by hand)" if any(one.own) else ""
    return " and ".join(allowed) + by_hand if allowed else "what no configuration says here"


def next_place(one: LimitStats) -> str:
    """Write when the next job may start."""
    if one.opens_at is not None:
        return f"{to_datetime(one.opens_at):%Y-%m-%d %H:%M:%S} UTC"
    return "when one ends" if one.is_full and one.pending else "now"


def to_json(one: LimitStats) -> dict[str, Any]:
    """Return the limit with its documented field names."""
    return {
        "name": one.name,
        "defined_by": one.pattern,
        **_bounds(one.bounds),
        "set": _bounds(one.own) if any(one.own) else None,
        "taken": one.taken,
        "pending": one.pending,
        "opens_at": None if one.opens_at is None else iso(one.opens_at),
    }


def _bounds(bounds: Bounds) -> dict[str, Any]:
    period = None if bounds.period is None else bounds.period / SECOND
    return {"concurrency": bounds.concurrency, "starts": bounds.starts, "period": period}
