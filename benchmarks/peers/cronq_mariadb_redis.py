"""cronq with its tables in MariaDB, and Redis to wake workers on other hosts."""

from __future__ import annotations

from benchmarks.peers import cronq_mariadb
from benchmarks.redis_server import tcp_url


class Queue(cronq_mariadb.Queue):
    """As on MariaDB, but jobs are enqueued as on another host."""

    name = "cronq, MariaDB, Redis"
    afar = True
    redis = "no"

    def wake(self) -> list[str]:
        return [tcp_url(self.place)]
