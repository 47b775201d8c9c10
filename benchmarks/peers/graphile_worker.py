"""graphile-worker on PostgreSQL."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.foreign import Node
from benchmarks.peer import ServerKind
from benchmarks.servers import url


class Queue(Node):
    """Two Node processes that run up to ten jobs at a time each."""

    name = "graphile-worker, PostgreSQL"
    promise = "at least once (after 4 hours where its process died), two Node processes, no isolation; fsync"
    server: ClassVar[ServerKind | None] = "postgresql"
    script = "graphile_worker.js"

    def server_url(self) -> str:
        return url(self.place).replace("+psycopg", "")
