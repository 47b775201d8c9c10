"""Check all limits, as runners do now and then, so that no job waits for ever for a consequence that was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.flow.configured import configured
from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronq.flow.definitions import Definitions
    from cronq.flow.limits import Limits
    from cronq.storage.tables import Tables
    from cronq.storage.workers import WorkerRegistry

_SILENCE = 3
"""Lengths of a lease without a heartbeat after which a worker no longer counts as one that takes jobs."""


def sweep(tables: Tables, definitions: Definitions, limits: Limits, workers: WorkerRegistry) -> list[int]:
    """Apply changed limits, move places on from queues that no worker serves, admit jobs; returns the ids admitted."""
    changed = definitions.renew(configured(tables.config))
    return limits.admit(changed) + limits.sweep(_unserved(tables, workers))


def _unserved(tables: Tables, workers: WorkerRegistry) -> Callable[[str], bool]:
    """Return a function that tells whether a queue is paused, or no runner takes its jobs."""
    paused = {queue for (queue,) in tables.query(tables.sql.claim.paused_queues)}
    since = tables.clock.now() - round(_SILENCE * tables.config.lease * SECOND)
    filters = [worker.filter for worker in workers.all() if worker.seen_at >= since]
    return lambda queue: queue in paused or not any(one.admits(queue) for one in filters)
