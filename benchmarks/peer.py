"""Define what a queue must implement to be measured, and the guarantees that it states."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Literal

from benchmarks.processor import of_ended_children
from benchmarks.work import Order

Fsync = Literal["always", "no"]
ServerKind = Literal["mariadb", "postgresql", "rabbitmq"]


class Peer(ABC):
    """One queue in one set-up. Each measurement gets an empty directory, its `place`."""

    name: ClassVar[str]
    promise: ClassVar[str]
    """Durability and delivery in this set-up, in a few words."""

    redis: ClassVar[Fsync | None] = None
    """Whether it needs Redis, and how often that writes to the disk."""

    server: ClassVar[ServerKind | None] = None
    """The kind of server that it needs besides Redis; benchmarks.servers starts it."""

    broker: ClassVar[bool] = False
    """Whether it needs RabbitMQ beside its server."""

    drained: ClassVar[int | None] = 10_000
    """The number of jobs that it drains: fewer for slow queues, None without a worker."""

    stops: ClassVar[bool] = True
    """Whether its workers end when no job is left."""

    def __init__(self, place: Path) -> None:
        self.place = place

    @abstractmethod
    def open(self) -> None:
        """Import and connect before the measurement begins."""

    @abstractmethod
    def put(self, order: Order) -> None:
        """Enqueue one job; it is stored when this returns."""

    def put_each(self, orders: Sequence[Order]) -> None:
        """Enqueue these jobs, one a call."""
        for order in orders:
            self.put(order)

    def put_many(self, orders: Sequence[Order]) -> None:
        """Enqueue these jobs in one call."""
        raise NotImplementedError

    def processor_time(self) -> float:
        """Return the processor time of enqueueing so far, in seconds, without the server's."""
        return time.process_time() + of_ended_children()

    @classmethod
    def missing(cls) -> str | None:
        """Return what this machine lacks to measure it, besides servers; None if nothing."""
        return None

    @classmethod
    def has_bulk(cls) -> bool:
        """Tell whether it can enqueue many jobs in one call."""
        return cls.put_many is not Peer.put_many

    def workers(self) -> list[list[str]]:
        """Return the commands that start the workers for a drain."""
        return []

    def staying(self) -> list[list[str]]:
        """Return the commands of workers that wait for jobs, to measure the time from an enqueue to the start."""
        return self.workers()


def peer(name: str) -> type[Peer]:
    """Return the class `Queue` of the module benchmarks.peers.NAME."""
    found: type[Peer] = import_module(f"benchmarks.peers.{name}").Queue
    return found


def script(name: str) -> str:
    """Return the path of a command that was installed beside this interpreter."""
    return str(Path(sys.prefix) / "bin" / name)
