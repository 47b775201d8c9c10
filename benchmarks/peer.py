"""What a queue must be able to do to be measured, and what it promises while it does."""

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
    """What else it needs; benchmarks.servers knows where it is."""

    broker: ClassVar[bool] = False
    """Whether it needs RabbitMQ beside its server."""

    drained: ClassVar[int | None] = 10_000
    """How many jobs it is given to drain; fewer for the slow ones, None for what has no worker."""

    stops: ClassVar[bool] = True
    """Whether its workers end when nothing is left."""

    def __init__(self, place: Path) -> None:
        self.place = place

    @abstractmethod
    def open(self) -> None:
        """Import and connect, so that what follows is measured without it."""

    @abstractmethod
    def put(self, order: Order) -> None:
        """Queue one job; it is there when this returns."""

    def put_each(self, orders: Sequence[Order]) -> None:
        """Queue these jobs, one a call."""
        for order in orders:
            self.put(order)

    def put_many(self, orders: Sequence[Order]) -> None:
        """Queue these jobs at once."""
        raise NotImplementedError

    def processor_time(self) -> float:
        """Seconds that enqueueing has taken so far of the processors, without the server's."""
        return time.process_time() + of_ended_children()

    @classmethod
    def missing(cls) -> str | None:
        """What this machine lacks to measure it, besides servers; None if nothing."""
        return None

    @classmethod
    def has_bulk(cls) -> bool:
        """Whether it can queue many at once."""
        return cls.put_many is not Peer.put_many

    def workers(self) -> list[list[str]]:
        """The commands that do the work, two at a time."""
        return []

    def staying(self) -> list[list[str]]:
        """The commands that wait for work, for the time from an enqueue to the start."""
        return self.workers()


def peer(name: str) -> type[Peer]:
    """The peer in the module benchmarks.peers.NAME."""
    found: type[Peer] = import_module(f"benchmarks.peers.{name}").Queue
    return found


def script(name: str) -> str:
    """A command that was installed beside this interpreter."""
    return str(Path(sys.prefix) / "bin" / name)
