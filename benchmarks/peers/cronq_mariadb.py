"""cronq with its tables in MariaDB."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.peer import ServerKind
from benchmarks.peers import cronq_sqlite
from benchmarks.servers import url


class Queue(cronq_sqlite.Queue):
    """As on SQLite, through PyMySQL."""

    name = "cronq, MariaDB"
    promise = "at least once, a child process for the attempt, fsync for each COMMIT"
    server: ClassVar[ServerKind | None] = "mariadb"

    def database(self) -> str:
        return url(self.place)
