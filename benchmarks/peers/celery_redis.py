"""celery on a Redis that writes each command to the disk."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.peer import Fsync
from benchmarks.peers import celery_rabbitmq


class Queue(celery_rabbitmq.Queue):
    """One worker with a pool of two processes."""

    name = "celery, Redis, fsync"
    promise = "at most once: acknowledged before it runs, lost when its process dies; appendfsync always"
    server = None
    redis: ClassVar[Fsync | None] = "always"
