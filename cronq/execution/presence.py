"""Define one process as a worker: its name, its liveness lock and its row in the worker registry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cronq import __version__
from cronq.locks import Liveness, new_worker
from cronq.storage.workers import Registration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.config.loader import Config
    from cronq.storage.workers import Heartbeat
    from cronq.store import Store


class Presence:
    """Shows other processes that this worker lives, by a lock on this host and a row in the database.

    `alive` is a liveness lock that is held already, with the worker's name.
    """

    def __init__(
        self, store: Store, config: Config, *, kind: str, queues: Sequence[str] = (), alive: Liveness | None = None
    ) -> None:
        self.worker = alive.worker if alive else new_worker()
        self.kind = kind
        self.registered = False
        self._store = store
        self._config = config
        self._queues = " ".join(queues)
        self._alive = alive

    def lock(self) -> Liveness:
        """Take the liveness lock, unless it is held already."""
        self._alive = self._alive or Liveness.lock(self._config, self.worker)
        return self._alive

    def register(self) -> None:
        """Insert this worker's row."""
        entry = Registration(self.worker, self.kind, os.uname().nodename, os.getpid(), self._queues, __version__)
        self._store.workers.register(entry)
        self.registered = True

    def beat(self, heartbeat: Heartbeat) -> None:
        """Write a heartbeat; insert the worker's row again if others have removed it after a long silence."""
        if not self._store.workers.heartbeat(self.worker, heartbeat):
            self.register()

    def leave(self) -> None:
        """Delete this worker's row."""
        self._store.workers.unregister(self.worker)
        self.registered = False
