"""Run one job in this process with its terminal, so that a debugger works, and settle it as usual."""

from __future__ import annotations

import os
import random
import time
from contextvars import copy_context
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING

from cronq.errors import CronqError
from cronq.execution.executor import Executor
from cronq.execution.journal import Journal, path_for
from cronq.execution.journal_file import CHILD_VARIABLE
from cronq.execution.presence import Presence
from cronq.execution.printed_copy import PrintedCopy
from cronq.execution.progress_writer import EVERY, ProgressWriter
from cronq.execution.results import ResultRecorder
from cronq.model.retry import Policies
from cronq.model.settlement import settlement
from cronq.notifications.sender import Sender
from cronq.storage.claim_one import Lease
from cronq.system.log import log
from cronq.times import SECOND, span

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronq.config.loader import Config
    from cronq.model.claimed_job import Claimed
    from cronq.model.outcome import Settlement
    from cronq.store import Store
    from cronq.tasks.registry import Registry

GIVEN_UP = frozenset({"KeyboardInterrupt", "BdbQuit"})
"""Classes of the errors by which a user at the terminal ends a job: Ctrl-C, and `quit` in the debugger."""

_RENEWALS = 3
"""The number of renewals in the length of a lease."""


class Foreground:
    """Runs one job in the calling process, without a time limit."""

    def __init__(self, store: Store, registry: Registry, config: Config) -> None:
        self._store = store
        self._registry = registry
        self._config = config
        self._policies = Policies(config, registry)

    def run(self, job_id: int, *, started: Callable[[Claimed], None]) -> Settlement | None:
        """Claim the job, call `started`, run it and write its outcome; returns the settlement.

        Returns None if the lease was lost. An attempt that the user ended doesn't count.
        Raises Refused if the job can't start now.
        """
        presence = Presence(self._store, self._config, kind="exec")
        alive = presence.lock()
        try:
            job = self._claim(job_id, presence.worker)
            started(job)
            with _Repeated(partial(self._renew, presence.worker), every=self._config.lease / _RENEWALS):
                return self._run(job, presence.worker)
        finally:
            alive.end()

    def _renew(self, worker: str) -> None:
        self._store.leases.renew(worker, self._store.clock.now() + round(self._config.lease * SECOND))

    def _run(self, job: Claimed, worker: str) -> Settlement | None:
        """Run the job with a journal, from which the next run settles it if this process is killed."""
        journal = Journal.create(path_for(self._config, worker, 0))
        journal.begin(job, time.monotonic_ns())
        os.environ[CHILD_VARIABLE] = journal.file.value
        executor = Executor(self._registry, self._config, self._store.clock, journal=journal)
        began = time.monotonic()
        progress = ProgressWriter(self._store, lambda: [(journal, time.monotonic() - began)])
        with PrintedCopy() as printed, executor.life, _Repeated(progress.write, every=EVERY):
            outcome = copy_context().run(executor.execute, job)
        outcome = printed.added_to(outcome)
        settled = settlement(job, outcome, self._policies, random.random, worker=worker)
        stored: Settlement | None = settled
        if outcome.error is not None and outcome.error.kind in GIVEN_UP:
            self._store.progress.forget(job.id)
            self._store.release([job])
        else:
            journal.append(job, outcome)
            stored = self._settle(settled)
        journal.file.remove()
        return stored

    def _claim(self, job_id: int, worker: str) -> Claimed:
        self._store.synchronise()
        return self._store.claim_one(job_id, Lease(worker, now=self._store.clock.now(), seconds=self._config.lease))

    def _settle(self, settled: Settlement) -> Settlement | None:
        if self._store.settle([settled]):
            return None
        sender = Sender(self._config, self._registry, close_inherited=_nothing)
        recorder = ResultRecorder(self._store, self._policies, sender, report=None, otel=self._config.otel)
        recorder.enter(settled)
        self._store.minutes.write()
        recorder.send_notices(self._store.close, at_once=True)
        return settled


class _Repeated:
    """Calls `action` every few seconds in a thread while the block runs; after a CronqError it tries again."""

    def __init__(self, action: Callable[[], object], *, every: float) -> None:
        self._action = action
        self._every = every
        self._over = Event()
        self._thread = Thread(target=self._repeat, name="foreground", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _repeat(self) -> None:
        while not self._over.wait(self._every):
            try:
                self._action()
            except CronqError as error:  # a lost lease is noticed when the job is settled
                log.warning("the database did not answer; tried again in %s: %s", span(self._every), error)


def _nothing() -> None:
    """Do nothing: there are no pipes to close in a fork."""
