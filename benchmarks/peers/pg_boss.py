"""pg-boss on PostgreSQL."""

from __future__ import annotations

from benchmarks.peers import graphile_worker


class Queue(graphile_worker.Queue):
    """Two Node processes that each take a hundred jobs at a time."""

    name = "pg-boss, PostgreSQL"
    promise = (
        "at least once (after 15 minutes where its process died), batches of 100 that end as one, "
        "two Node processes, no isolation; fsync"
    )
    script = "pg_boss.js"
