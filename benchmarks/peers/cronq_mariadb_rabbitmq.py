"""cronq with its tables in MariaDB, and RabbitMQ to wake workers on other hosts."""

from __future__ import annotations

from benchmarks import servers
from benchmarks.peers import cronq_mariadb


class Queue(cronq_mariadb.Queue):
    """As on MariaDB, but jobs are enqueued as on another host."""

    name = "cronq, MariaDB, RabbitMQ"
    afar = True
    broker = True

    def wake(self) -> list[str]:
        return [f"{servers.broker(self.place)}?name={self.place.name}"]
