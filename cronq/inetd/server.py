"""`serve-inetd` on listening sockets: many callers at once, and warm children that do what they ask for."""

from __future__ import annotations

import time
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from cronq.execution.engine import Engine, RunnerInfo
from cronq.execution.pool import TICK
from cronq.inetd import request
from cronq.storage.claim_one import Refused
from cronq.store import Lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronq.config.loader import Config
    from cronq.execution.pool import ChildHandle
    from cronq.execution.results import Summary
    from cronq.inetd.connections import Connections
    from cronq.inetd.request import Client
    from cronq.model.job import Claimed
    from cronq.store import Store
    from cronq.tasks.registry import Registry

MOST_AT_ONCE = 16
"""Jobs that run at the same time, unless told otherwise; as many as xinetd's file allows instances."""

IDLE_EXIT = 60.0
"""Seconds without callers and jobs after which the process ends."""


class Rules(NamedTuple):
    """How many jobs at once, and after how many idle seconds to leave."""

    at_once: int = MOST_AT_ONCE
    idle_exit: float = IDLE_EXIT


class Server(Engine):
    """Claims what callers ask for, if a child is free or another one may be forked; else they hear `busy`."""

    promotes = False
    """That is cron's business: a due job is found when it is asked for."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        config: Config,
        *,
        desk: Connections,
        rules: Rules,
        log: Callable[[str], None],
    ) -> None:
        children = min(config.jobs, rules.at_once)
        super().__init__(store, registry, config, part=RunnerInfo("serve-inetd", children=children))
        self._desk = desk
        self._rules = rules
        self._log = log
        self._busy_until = time.monotonic()

    def serve(self) -> Summary:
        """Answer callers until nobody has come for a while, or until told to end."""
        with self.at_work() as signals:
            self._touch()
            while not self._may_leave():
                self.hand_over()
                self._pool.wait(self._patience(), (signals,), self._desk.descriptors())
                self._receive()
                self.follow_up()
            self._desk.close()
        return self.summary

    def claim_more(self, count: int) -> list[Claimed]:
        """None: only what callers ask for."""
        del count
        return []

    def ask_to_stop(self, grace: float = inf) -> None:
        """Take no more callers; those who come now wait for the next process."""
        super().ask_to_stop(grace)
        self._desk.shut()

    def _may_leave(self) -> bool:
        if self._pool.in_hand or self._ended or self._spare or self._returned:
            return False
        if self._stop_asked is not None:
            return not self._desk.lingering
        idle = time.monotonic() - self._busy_until
        return not self._desk.callers and idle >= self._rules.idle_exit

    def _patience(self) -> float:
        if self._pool.in_hand or self._ended or self._stop_asked is not None:
            return TICK
        now = time.monotonic()
        leaving = self._busy_until + self._rules.idle_exit
        return max(0.0, min(leaving, self._times.renew, self._times.maintain, self._desk.next_deadline()) - now)

    def _touch(self) -> None:
        self._busy_until = time.monotonic()

    def _receive(self) -> None:
        for caller in self._desk.asking():
            said = self._reply_to(caller)
            self._log(f"{caller.name} {said} ({(time.monotonic() - caller.came) * 1000:.1f} ms)")
        if self._desk.callers or self._pool.in_hand:
            self._touch()

    def _reply_to(self, caller: Client) -> str:
        if caller.asks_nothing:
            caller.ignore()
            return "asked for nothing"
        job_id = request.job_id(caller.line) if caller.complete else None
        if job_id is None:
            caller.answer(request.MALFORMED if caller.complete else request.TIMEOUT)
            return request.MALFORMED if caller.complete else request.TIMEOUT
        said, job, member = self._take_on(job_id)
        caller.answer(said)
        if job is not None and member is not None:
            member.give([job])
        return said

    def _take_on(self, job_id: int) -> tuple[str, Claimed | None, ChildHandle | None]:
        member = self._idle_child()
        if member is None:
            return f"ERR {job_id} busy", None, None
        try:
            return f"OK {job_id}", self._claim_one(job_id), member
        except Refused as refusal:
            return f"ERR {job_id} {refusal}", None, None

    def _claim_one(self, job_id: int) -> Claimed:
        now, started = self._store.clock.now(), time.monotonic()
        lease = Lease(self.worker, now=now, seconds=self._config.lease)
        job = self._store.claim_one(job_id, lease)
        self.claimed += 1
        if not self._pool.in_hand:
            self._fence.renewed(started)
        elif self._fence.fallen:
            self._renew()
        return job

    def _idle_child(self) -> ChildHandle | None:
        """A child without work; a new one where all have some and there may be more."""
        for member in self._pool.members:
            if not member.hand and self._pool.has_room(member):
                return member
        if len(self._pool.members) >= self._rules.at_once:
            return None
        self._pool.size = len(self._pool.members) + 1
        self._pool.fill()
        return self._pool.members[-1]
