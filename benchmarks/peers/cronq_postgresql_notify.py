"""cronq with its tables in PostgreSQL, whose NOTIFY wakes workers on other hosts."""

from __future__ import annotations

from benchmarks.peers import cronq_postgresql


class Queue(cronq_postgresql.Queue):
    """As on PostgreSQL, but jobs are enqueued as on another host."""

    name = "cronq, PostgreSQL, NOTIFY"
    afar = True
