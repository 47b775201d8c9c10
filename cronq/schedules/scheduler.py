"""Declare schedules, and decide due times as they come, in `run` and `work`.

Importing this module is cheap: what computes due times is imported when there is something to compute.
"""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from cronq.storage.idle_check import is_declared, note_declared
from cronq.storage.schedule_checks import are_declared, are_watched, next_due
from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronq.config.loader import Config
    from cronq.schedules.alerts import Alert
    from cronq.schedules.definition import Definition
    from cronq.schedules.firing import Firing
    from cronq.storage.wake import Announces
    from cronq.store import Store

_DECLARE_EVERY = 1800.0
"""Seconds after which a host declares its schedules again."""


class Scheduler:
    """Declares this host's schedules and fires those of all hosts, also for queues that the runner doesn't serve."""

    def __init__(self, store: Store, config: Config, definitions: Callable[[], Sequence[Definition]]) -> None:
        self.due_at: int | None = None
        """The instant at which the next due time is to be decided, as far as known; None without one."""
        self.announcer: Announces | None = None
        """Replaces the runner's announcer while schedules are fired, to wake workers through transports too.

        The runner itself may not claim the jobs that it enqueues. None: its own announcer stays.
        """
        self._store = store
        self._config = config
        self._definitions = definitions
        self._declare_at = 0.0
        self._firing: Firing | None = None

    def look(self) -> int:
        """Declare schedules if that is due, and fire those that are due; returns the number of jobs enqueued."""
        if time.monotonic() >= self._declare_at:
            self._declare_at = time.monotonic() + _DECLARE_EVERY
            self._declare()
        self.due_at = next_due(self._store.tables)
        return self.fire_when_due()

    def fire_when_due(self) -> int:
        """Fire what has become due since the last call; returns the number of jobs enqueued."""
        now = self._store.clock.now()
        if self.due_at is None or self.due_at > now:
            return 0
        with nullcontext() if self.announcer is None else self._store.wake.announced_by(self.announcer):
            jobs = self._fires().fire_all(now)
        self.due_at = next_due(self._store.tables)
        if self.due_at is not None and self.due_at <= now:  # it can't be fired on this host, and is left to others
            self.due_at = now + 60 * SECOND
        return jobs

    def alerts(self) -> list[Alert]:
        """Return the alerts that are due about schedules without success, or with success again."""
        if not are_watched(self._store.tables):
            return []
        from cronq.schedules.alerts import alerts  # as below

        return list(alerts(self._store))

    def _fires(self) -> Firing:
        if self._firing is None:
            from cronq.schedules.firing import Firing  # here, not above: it imports cronsim and zoneinfo
            from cronq.schedules.unable import Unable

            self._firing = Firing(self._store, Unable(self._config))
        return self._firing

    def _has_declared(self) -> bool:
        """Tell whether nothing can have changed since this host declared: no app, and the same config."""
        if self._config.app is not None or not is_declared(self._config):
            return False
        return not self._config.schedules or bool(self._store.schedules.declarations.of(os.uname().nodename))

    def _declare(self) -> None:
        if self._config.declare == "sync" or self._has_declared():
            return
        definitions = self._definitions()
        if definitions or are_declared(self._store.tables):
            from cronq.schedules.declaring import Declaring  # as above

            Declaring(self._store, self._fires(), source=self._config.app or "cronq.toml").declare(definitions)
        note_declared(self._config)
