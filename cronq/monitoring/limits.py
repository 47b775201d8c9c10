"""Explain in words why a job waits for a place under its limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.times import to_datetime

if TYPE_CHECKING:
    from datetime import datetime

    from cronq.flow.limit_views import Waiting


def explain(place: Waiting, unserved: frozenset[str], now: datetime) -> str:
    """Return the words on what a pending job waits for; `unserved` are the queues whose jobs nothing takes."""
    limit, bounds = f'limit "{place.limit}"', place.bounds
    if place.behind:
        return f"it waits for a place of {limit}, and another job of its group comes first"
    if bounds.concurrency is not None and place.taken >= bounds.concurrency:
        taken = f"{place.taken} of {bounds.concurrency} places taken"
        return f"{limit} is full: {taken}{_before(place)}{_stuck(place, unserved)}"
    if bounds.starts is not None and place.opens_at is not None:
        opening = to_datetime(place.opens_at)
        when = f"at {opening:%Y-%m-%d %H:%M:%S} UTC" if opening > now else "now"
        return f"{limit} allows {bounds.rate_words()}; the next is {when}{_before(place)}"
    if bounds == (None, None, None):
        return f"nothing is known of {limit}: define it in [limits] and enqueue a job under it"
    return f"{limit} has a place; the next run or worker lets it in{_before(place)}"


def _before(place: Waiting) -> str:
    return f", {place.before} before it" if place.before else ""


def _stuck(place: Waiting, unserved: frozenset[str]) -> str:
    """Name the first queue whose ready jobs have places although nothing takes them."""
    for queue in sorted(set(place.ready) & unserved):
        number = place.ready.count(queue)
        return (
            f'; {number} of them by ready jobs of queue "{queue}", to which no worker listens: a place moves on'
            " after a minute"
        )
    return ""
