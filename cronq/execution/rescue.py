"""Rescue the jobs of dead runners, and prune old jobs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from cronq.execution import leftovers
from cronq.execution.journal import journals_of, set_aside_unreadable
from cronq.execution.journal import workers as workers_with_journals
from cronq.locks import DeadWorker, remove_unnamed
from cronq.model.job import Failure
from cronq.model.outcome import Outcome, Settlement
from cronq.model.settlement import has_begun, settlement
from cronq.system.log import log
from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from random import Random

    from cronq.config.loader import Config
    from cronq.execution.journal_file import Entry, JournalFile
    from cronq.model.job import Claimed
    from cronq.model.retry import Policies
    from cronq.store import LeasedJob, Store

_DYING = 2.0
"""Seconds to wait for killed processes."""

_SILENCE = 3
"""The number of lease lengths without a heartbeat after which a worker is unregistered."""

_MOST_DOUBT = 30 * SECOND
"""Microseconds of doubt about the clock from which on no leases of other hosts are regarded as ended."""

_RESCUER = ".rescue"

_KILLED = "job process killed: SIGKILL (its runner {worker} was killed)"
_REBOOTED = "job process killed: the machine was restarted"
_UNKNOWN = "job process lost: the lease of its runner {worker} ended"


class Rescuer:
    """Settles or releases the jobs of dead runners. Each step is safe to do twice, and by two runners at once."""

    def __init__(self, store: Store, config: Config, policies: Policies, *, chance: Random) -> None:
        self._store = store
        self._config = config
        self._policies = policies
        self._chance = chance
        self._leads = not store.leader.shared
        self._doubted = False
        self._unkillable: set[str] = set()
        """Dead workers with processes that can't be killed."""
        self.freed = 0
        """The number of jobs of dead runners that it has settled or released so far."""

    def rescue(self, *, besides: str) -> list[Settlement]:
        """Settle jobs of dead runners from their journals, and release the others; returns the settlements.

        `besides` is the calling worker. Only the leader rescues jobs of runners on other hosts.
        """
        self._leads = self._store.leader.hold(besides, seconds=self._config.lease)
        from_afar = self._leads and self._knows_the_time()
        settled: list[Settlement] = []
        remove_unnamed(self._config)
        owners, here = set(self._store.leases.owners()), workers_with_journals(self._config)
        seen = {worker.name: worker.seen_at for worker in self._store.workers.all()}
        if from_afar:
            self._forget_silent([seen[name] for name in seen.keys() - owners - here])
        for worker in sorted({*owners, *here} - {besides}):
            with DeadWorker(self._config, worker) as dead:
                if not (dead.found or from_afar):
                    continue
                if dead.mine or self._all_dead(worker, dead):
                    settled += self._rescue(worker, dead, besides)
                    if worker in self._unkillable:
                        continue
                    dead.forget()
                    if worker in seen and self._is_dead(dead, seen[worker]):
                        self._store.workers.unregister(worker)
        return settled

    def resign(self, worker: str) -> None:
        """Resign as leader, so that another worker can take over at once."""
        if self._leads:
            self._store.leader.resign(worker)

    def _knows_the_time(self) -> bool:
        """Tell whether the clock is exact enough to regard leases of other hosts as ended; log when it no longer is."""
        doubt = self._store.clock.doubt
        if doubt >= _MOST_DOUBT and not self._doubted:
            message = "the clock is in doubt by %.1f s: jobs of other hosts are not rescued until it is sure again"
            log.warning(message, doubt / SECOND)
        self._doubted = doubt >= _MOST_DOUBT
        return not self._doubted

    def _forget_silent(self, seen: Iterable[int]) -> None:
        """Unregister workers that hold no lease and were last seen too long ago, with one statement."""
        if any(seen_at < self._silent_since() for seen_at in seen):
            self._store.workers.forget_silent(self._silent_since())

    def _is_dead(self, dead: DeadWorker, seen_at: int) -> bool:
        """Tell whether a worker without jobs is dead: on another host only after a long time without a heartbeat."""
        return dead.found or seen_at < self._silent_since()

    def _silent_since(self) -> int:
        return self._store.clock.now() - round(_SILENCE * self._config.lease * SECOND)

    def _all_dead(self, worker: str, dead: DeadWorker) -> bool:
        """Tell whether a runner is dead though its lock is held by children or processes that they forked.

        On Linux children die with their runner. Those that are left are killed; a process that a job
        left on purpose may keep the lock, and is waited for only 2 s.
        """
        if not dead.runner_is_dead:
            return False
        for journal in journals_of(self._config, worker):
            if journal.child_lives:
                leftovers.end(journal, patience=0)
            journal.close()
        deadline = time.monotonic() + _DYING
        while not dead.take() and time.monotonic() < deadline:
            time.sleep(0.01)
        return True

    def _rescue(self, worker: str, dead: DeadWorker, new_owner: str) -> list[Settlement]:
        if not dead.found:
            return self._rescue_from_afar(worker, dead, new_owner)
        lost = list(set_aside_unreadable(self._config, worker))
        for said in lost:
            log.warning("%s; the lease of what it was about ends by itself", said)
        journals = list(journals_of(self._config, worker))
        entries = [entry for journal in journals for entry in journal.ended()]
        returned = {(entry.job_id, entry.token) for entry in entries}
        alive = [one for one in journals if one.current()[:2] not in returned and not self._is_over(one, dead)]
        settled = self._settle_ended(worker, entries)
        settled += self._settle_cut_off(worker, dead, [journal for journal in journals if journal not in alive])
        if not lost:
            self._release_untouched(worker, running={journal.current()[:2] for journal in alive})
        self._keep(worker, alive)
        for journal in journals:
            journal.close() if journal in alive else journal.remove()
        return settled

    def _is_over(self, journal: JournalFile, dead: DeadWorker) -> bool:
        """Tell whether all processes of a child's last attempt have ended, killing them if necessary."""
        begun = journal.current()[0]
        return dead.rebooted or not begun or leftovers.end(journal, patience=_DYING)

    def _keep(self, worker: str, alive: Sequence[JournalFile]) -> None:
        """Keep the leases of attempts that can't be ended: no runner starts those jobs again before they are over."""
        if not alive:
            self._unkillable.discard(worker)
            return
        self._store.leases.renew(worker, self._store.clock.now() + round(self._config.lease * SECOND))
        if worker not in self._unkillable:
            self._unkillable.add(worker)
            for journal in alive:
                message = "job %d is not started again before %s has ended, which cronq may not kill"
                log.warning(message, journal.current()[0], leftovers.described(journal))

    def _rescue_from_afar(self, worker: str, dead: DeadWorker, new_owner: str) -> list[Settlement]:
        """Rescue the jobs of a worker without a liveness file, perhaps on another host, whose leases have ended."""
        # Under an owner's name of their own: if the new owner dies now, they aren't released as jobs never started.
        taken = self._store.leases.take_over(worker, new_owner=f"{new_owner}{_RESCUER}")
        death = _Death(worker.removesuffix(_RESCUER), dead, self._store.clock.now())
        if taken:
            log.warning("rescued %d jobs of %s, whose leases had ended", len(taken), death.worker)
        return self._settle(death.worker, [(held.job, _crashed(held, death, None)) for held in taken])

    def _settle_ended(self, worker: str, entries: Iterable[Entry]) -> list[Settlement]:
        held = {(held.job.id, held.job.token): held.job for held in self._store.leases.held_by(worker)}
        ended = [(held[key], entry.outcome) for entry in entries if (key := (entry.job_id, entry.token)) in held]
        return self._settle(worker, ended)

    def _settle_cut_off(self, worker: str, dead: DeadWorker, journals: list[JournalFile]) -> list[Settlement]:
        now = self._store.clock.now()
        begun = {journal.current()[:2]: journal.current()[2] for journal in journals}
        cut_off = []
        for held in self._store.leases.held_by(worker):
            key = (held.job.id, held.job.token)
            if key in begun or dead.rebooted:
                cut_off.append((held.job, _crashed(held, _Death(worker, dead, now), begun.get(key))))
        if cut_off:
            log.warning("rescued %d jobs of %s that were cut off", len(cut_off), worker)
        return self._settle(worker, cut_off)

    def _release_untouched(self, worker: str, *, running: set[tuple[int, int]]) -> None:
        """Release the jobs that the worker had claimed and not begun; all of a group at once."""
        untouched = [
            held.job for held in self._store.leases.held_by(worker) if (held.job.id, held.job.token) not in running
        ]
        self._store.release(untouched)
        self.freed += len(untouched)
        if untouched:
            log.warning("gave back %d jobs of %s that it had not begun", len(untouched), worker)

    def _settle(self, worker: str, ended: Iterable[tuple[Claimed, Outcome]]) -> list[Settlement]:
        # A job that a child returned unbegun stays claimed: `_release_untouched` releases a group's jobs all at once.
        settlements = [
            settlement(job, outcome, self._policies, self._chance.random, worker=worker)
            for job, outcome in ended
            if has_begun(outcome)
        ]
        lost = set(self._store.settle(settlements)) if settlements else set()
        self.freed += len(settlements)
        return [s for s in settlements if s.job.id not in lost]

    def prune(self) -> int:
        """Delete finished jobs older than the configured retention, as leader; returns how many.

        Also folds the counts of old minutes.
        """
        retention = self._config.retention
        if self._leads:
            self._store.minutes.fold()
        if retention is None or not self._leads:
            return 0
        return sum(self._store.admin.clear({"finished"}, older_than=retention))


class _Death(NamedTuple):
    worker: str
    dead: DeadWorker
    now: int


def _crashed(held: LeasedJob, death: _Death, begun: int | None) -> Outcome:
    why = _KILLED if death.dead.found else _UNKNOWN
    if death.dead.rebooted:
        why = _REBOOTED
    started = held.claimed_at
    if begun is not None and not death.dead.rebooted:
        started = death.now - (time.monotonic_ns() - begun) * SECOND // 1_000_000_000
    error = Failure("ExecutorDied", why.format(worker=death.worker))
    if why is _KILLED:
        return Outcome("crashed", started, death.now, "rescue", error=error, signal="SIGKILL")
    return Outcome("crashed", started, death.now, "interrupted", error=error)
