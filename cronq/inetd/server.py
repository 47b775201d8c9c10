"""Serve many clients at listening sockets, with warm children that run their jobs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cronq.execution.engine import Engine
from cronq.execution.job_source import NoJobs
from cronq.execution.pool import TICK
from cronq.execution.presence import Presence
from cronq.inetd import request
from cronq.storage.claim_one import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronq.app import Cronq
    from cronq.config.loader import Config
    from cronq.execution.child_handle import ChildHandle
    from cronq.execution.results import Summary
    from cronq.inetd.connections import Connections
    from cronq.inetd.request import Client
    from cronq.model.job import Claimed

MOST_AT_ONCE = 16
"""The most jobs that run at the same time by default; as many as the file for xinetd allows instances."""

IDLE_EXIT = 60.0
"""Seconds without clients and jobs after which the process ends."""


class Server:
    """Claims the jobs that clients request if a child is free or can be forked; else answers `busy`.

    It claims and promotes no other jobs: `run` and `work` do.
    """

    def __init__(
        self,
        queue: Cronq,
        config: Config,
        connections: Connections,
        *,
        at_once: int = MOST_AT_ONCE,
        idle_exit: float = IDLE_EXIT,
        log: Callable[[str], None],
    ) -> None:
        self._store = queue.store
        self._connections = connections
        self._at_once = at_once
        self._idle_exit = idle_exit
        self._log = log
        presence = Presence(queue.store, config, kind="serve-inetd")
        children = min(config.jobs, at_once)
        self._engine = Engine.with_children(children, queue.store, queue.registry, config, presence=presence)
        self._pool = self._engine.pool
        self._engine.when_stopping = connections.shut
        self._busy_until = 0.0

    def serve(self) -> Summary:
        """Answer clients until none has come for `idle_exit` seconds, or until told to end."""
        source = NoJobs()
        with self._engine.running():
            self._touch()
            while self._engine.step(source, self, woken=self._receive):
                pass
            self._connections.close()
        return self._engine.summary

    # Called by the engine

    def is_over(self) -> bool:
        """Tell whether all clients have their answers, and it was idle for `idle_exit` seconds or told to stop."""
        if self._engine.stopping.asked:
            return not self._connections.lingering
        idle = time.monotonic() - self._busy_until
        return not self._connections.clients and idle >= self._idle_exit

    def pause(self) -> float:
        """Return the seconds until it ends, renews leases or does upkeep, or a client's time is over."""
        if self._engine.stopping.asked:
            return TICK
        appointments = (
            self._busy_until + self._idle_exit,
            self._engine.leases.renewal,
            self._engine.upkeep.next,
            self._connections.next_deadline(),
        )
        return max(0.0, min(appointments) - time.monotonic())

    def watched(self) -> list[int]:
        """Return the listening sockets and the connections."""
        return self._connections.descriptors()

    # Clients

    def _touch(self) -> None:
        self._busy_until = time.monotonic()

    def _receive(self) -> None:
        for client in self._connections.receive():
            said = self._reply_to(client)
            self._log(f"{client.name} {said} ({(time.monotonic() - client.came) * 1000:.1f} ms)")
        if self._connections.clients or self._pool.assigned:
            self._touch()

    def _reply_to(self, client: Client) -> str:
        if client.asks_nothing:
            client.ignore()
            return "asked for nothing"
        job_id = request.job_id(client.line) if client.complete else None
        if job_id is None:
            client.answer(request.MALFORMED if client.complete else request.TIMEOUT)
            return request.MALFORMED if client.complete else request.TIMEOUT
        said, job, child = self._take_on(job_id)
        client.answer(said)
        if job is not None and child is not None:
            child.give([job])
        return said

    def _take_on(self, job_id: int) -> tuple[str, Claimed | None, ChildHandle | None]:
        child = self._idle_child()
        if child is None:
            return f"ERR {job_id} busy", None, None
        try:
            return f"OK {job_id}", self._claim_one(job_id), child
        except Refused as refusal:
            return f"ERR {job_id} {refusal}", None, None

    def _claim_one(self, job_id: int) -> Claimed:
        leases = self._engine.leases
        if self._pool.assigned and leases.deadline.fallen:
            self._engine.renew()
        [job] = leases.claim(lambda lease: [self._store.claim_one(job_id, lease)])
        return job

    def _idle_child(self) -> ChildHandle | None:
        """Return an idle child, or fork one; None if all are busy and there may be no more."""
        for child in self._pool.children:
            if not child.assigned and self._pool.has_room(child):
                return child
        if len(self._pool.children) >= self._at_once:
            return None
        self._pool.size = len(self._pool.children) + 1
        self._pool.fill()
        return self._pool.children[-1]
