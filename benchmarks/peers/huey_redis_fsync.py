"""huey on a Redis that writes each command to the disk: the same durability as cronq's."""

from __future__ import annotations

from benchmarks.peers import huey_redis


class Queue(huey_redis.Queue):
    """As huey on Redis, with appendfsync always."""

    name = "huey, Redis, fsync"
    promise = "at most once, two threads, no isolation; appendfsync always"
    redis = "always"
