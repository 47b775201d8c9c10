"""Serve one connection: read a job's id, claim that job, answer, and run it.

Until the answer is sent, only the database's driver is imported; the modules that run the job
are imported while the client reads it.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal itself makes enums, which take half as long as Python's start
import gc
import os
import syslog
import time

from cronq.inetd import request, sockets
from cronq.inetd.request import Client
from cronq.times import Clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cronq.commands import Invocation
    from cronq.config.loader import Config
    from cronq.execution.pool import Pool
    from cronq.inetd.sockets import Inherited
    from cronq.locks import Liveness
    from cronq.model.claimed_job import Claimed
    from cronq.tasks.registry import Registry

OK, REFUSED, MALFORMED = 0, 1, 65
"""Exit statuses."""


def open_log() -> None:
    """Open the system's log (syslog)."""
    syslog.openlog("cronq", syslog.LOG_PID, syslog.LOG_DAEMON)


def log(text: str) -> None:
    """Write a line to the system's log."""
    syslog.syslog(syslog.LOG_INFO, text)


def serve_one(invocation: Invocation, came_in: Inherited) -> int:
    """Serve the connection, pipe or terminal that the process was started with; returns the exit status."""
    gc.disable()  # what is imported until the job starts leaves no garbage, and looking for it takes 6 % of the time
    client = _client(came_in)
    client.wait()
    if client.asks_nothing:
        return OK
    said, status, start = _reply(invocation, client)
    client.answer(said)
    if came_in.kind == sockets.CONNECTION:
        open_log()
        log(f"{client.name} {said} ({(time.monotonic() - client.came) * 1000:.1f} ms)")
    if start is None:
        client.linger()
        return status
    return start()


def _client(came_in: Inherited) -> Client:
    if came_in.kind == sockets.CONNECTION:
        return Client(came_in.sockets[0])
    return Client(0, 1, patience=None if os.isatty(0) else request.PATIENCE)


def _reply(invocation: Invocation, client: Client) -> tuple[str, int, Callable[[], int] | None]:
    """Claim the job; returns the answer, the exit status, and a function that runs the job if it was claimed."""
    if not client.complete:
        return request.TIMEOUT, MALFORMED, None
    job_id = request.job_id(client.line)
    if job_id is None:
        return request.MALFORMED, MALFORMED, None
    from cronq.storage.claim_one import Refused

    try:
        start = _claim(invocation, client, job_id)
    except Refused as refusal:
        return f"ERR {job_id} {refusal}", REFUSED, None
    except Exception:
        client.answer(request.UNAVAILABLE)
        client.linger()
        raise
    return f"OK {job_id}", OK, start.run


def _claim(invocation: Invocation, client: Client, job_id: int) -> _JobStart:
    """Become a worker that has claimed this job. Raises Refused if it can't be claimed."""
    from cronq.config.loader import require_owner
    from cronq.locks import Liveness, new_worker

    config, clock = invocation.config, Clock()
    require_owner(config, "serve-inetd")
    # Blocked until there is an engine that can finish the job or return it.
    _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGTERM, _signal.SIGINT))
    alive = Liveness.lock(config, new_worker())
    since = time.monotonic()
    try:
        row = _claimed_row(config, clock, alive.worker, job_id)
    except BaseException:
        alive.end()
        raise
    return _JobStart(invocation, client, row, alive=alive, clock=clock, since=since)


def _claimed_row(config: Config, clock: Clock, worker: str, job_id: int) -> tuple[object, ...]:
    from cronq.storage.claim_one import Lease, claim_one
    from cronq.storage.tables import Tables

    tables = Tables(config, clock)
    tables.open()
    try:
        return claim_one(tables, job_id, Lease(worker, now=clock.now(), seconds=config.lease))
    finally:
        tables.database.close()


class _JobStart:
    """Runs the job that was claimed for a client, under the lock of its worker."""

    def __init__(
        self,
        invocation: Invocation,
        client: Client,
        row: tuple[object, ...],
        *,
        alive: Liveness,
        clock: Clock,
        since: float,
    ) -> None:
        self._invocation = invocation
        self._config = invocation.config
        self._client = client
        self._row = row
        self._alive = alive
        self._clock = clock
        self._since = since

    def run(self) -> int:
        """Start the job in a child, then import the engine that supervises it."""
        from cronq.model.claimed_job import Claimed

        job = Claimed._make(self._row)
        try:
            registry = self._registry(job)
        except BaseException:
            self._release(job)
            raise
        self._client.drain()
        self._client.close()
        pool = self._start(job, registry)
        self._supervise(pool, registry)
        return OK

    def _registry(self, job: Claimed) -> Registry:
        """Return the registered tasks; none for a command without an app, which saves the time of importing them."""
        from cronq.model.claimed_job import COMMAND_TASK

        if job.task == COMMAND_TASK and self._config.app is None:
            from cronq.tasks.null_registry import NO_TASKS

            return NO_TASKS
        return self._invocation.cronq(with_tasks=True).registry

    def _start(self, job: Claimed, registry: Registry) -> Pool:
        from cronq.execution.pool import Pool
        from cronq.execution.unchanged_state import UNCHANGED
        from cronq.tasks.null_registry import NO_TASKS

        gc.freeze()  # else the first search for garbage would go through all that was imported
        gc.enable()
        state = UNCHANGED if registry is NO_TASKS else None
        pool = Pool(1, self._config, registry, clock=self._clock, worker=self._alive.worker, state=state)
        pool.fill()
        pool.children[0].give([job])
        return pool

    def _supervise(self, pool: Pool, registry: Registry) -> None:
        from cronq.inetd.one_job import OneJob
        from cronq.store import Store

        with Store(self._config, self._clock) as store:
            OneJob(store, registry, self._config, alive=self._alive, pool=pool).supervise(self._since)

    def _release(self, job: Claimed) -> None:
        """Return the job to the queue, with its attempt: the app can't be imported."""
        from cronq.store import Store
        from cronq.transports.announcer import Announcer

        with Store(self._config, self._clock, Announcer(self._config, transports=False)) as store:
            store.release([job])
        self._alive.end()
