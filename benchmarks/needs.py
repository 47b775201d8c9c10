"""Tell whether a queue can be measured on this machine."""

from __future__ import annotations

import functools

from benchmarks import redis_server, servers
from benchmarks.peer import peer
from benchmarks.progress import say


@functools.cache
def can(name: str, measure: str) -> bool:
    """Tell whether this machine has what the queue needs; if not, write once for each measurement what is missing."""
    lacking = missing(name)
    if lacking is not None:
        say(f"  {measure}: {peer(name).name} is left out: this machine lacks {lacking}")
    return lacking is None


def missing(name: str) -> str | None:
    """Return what the queue needs and this machine doesn't have; None if it has all."""
    queue = peer(name)
    if queue.redis is not None and not redis_server.available():
        return "redis-server"
    for kind in (queue.server, "rabbitmq" if queue.broker else None):
        if kind is not None and not servers.available(kind):
            return kind
    return queue.missing()
