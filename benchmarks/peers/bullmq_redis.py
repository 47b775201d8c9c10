"""BullMQ on a Redis that writes each command to the disk."""

from __future__ import annotations

from benchmarks.foreign import Node
from benchmarks.redis_server import tcp_url


class Queue(Node):
    """Two Node processes that run up to ten jobs at a time each."""

    name = "BullMQ, Redis, fsync"
    promise = "at least once (after 30 s where its process died), two Node processes, no isolation; appendfsync always"
    redis = "always"
    script = "bullmq.js"

    def server_url(self) -> str:
        return tcp_url(self.place)
