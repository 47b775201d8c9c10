"""What runners do about limits now and then: nothing waits for ever for a consequence that was lost."""

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
"""Leases without a heartbeat after which a worker listens to nothing."""


def sweep(tables: Tables, definitions: Definitions, limits: Limits, workers: WorkerRegistry) -> list[int]:
    """Take over changed limits, move places on from queues that nothing listens to, admit; returns the ids admitted."""
    changed = definitions.renew(configured(tables.config))
    return limits.admit(changed) + limits.sweep(_unserved(tables, workers))


def _unserved(tables: Tables, workers: WorkerRegistry) -> Callable[[str], bool]:
    """Tell of a queue whether it is paused, or no runner takes its jobs."""
    paused = {queue for (queue,) in tables.query(tables.sql.claim.paused_queues)}
    since = tables.clock.now() - round(_SILENCE * tables.config.lease * SECOND)
    filters = [worker.filter for worker in workers.all() if worker.seen_at >= since]
    return lambda queue: queue in paused or not any(one.admits(queue) for one in filters)
