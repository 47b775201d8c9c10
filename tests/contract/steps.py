"""Define steps of tests on a store: enqueue, claim, settle; the same on every engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from cronq.model.job import Claimed, Failure, Job, NewJob
from cronq.model.outcome import Outcome, Settlement
from cronq.model.retry import Policy
from cronq.model.selection import Filter
from cronq.model.settlement import settlement
from cronq.store import Lease, Store
from cronq.times import SECOND

if TYPE_CHECKING:
    from cronq.model.retry import Policies

POLICY = Policy(jitter=0.0)
ALL = Filter()
LEASE = 60 * SECOND


def new(task: str = "task", **fields: Any) -> NewJob:
    """Return a job to be enqueued."""
    return NewJob(task, **fields)


def put(store: Store, *jobs: NewJob) -> list[int]:
    """Enqueue jobs; return their ids."""
    return [enqueued.id for enqueued in store.enqueue(jobs)]


def later(store: Store, seconds: float) -> int:
    """Return the instant so many seconds from now."""
    return store.clock.now() + round(seconds * SECOND)


def claim(store: Store, limit: int = 100, *, worker: str = "one", wanted: Filter = ALL) -> list[Claimed]:
    """Claim jobs for a worker, with a lease of a minute."""
    now = store.clock.now()
    return store.claim(wanted, Lease(worker, now=now, seconds=LEASE / SECOND), limit=limit)


def claimed_ids(store: Store, limit: int = 100, *, worker: str = "one", wanted: Filter = ALL) -> list[int]:
    """Claim jobs; return their ids in the order of the claim."""
    return [job.id for job in claim(store, limit, worker=worker, wanted=wanted)]


def outcome(store: Store, kind: str = "success", verdict: str = "", **fields: Any) -> Outcome:
    """Return the outcome of an attempt that took a second and ended now."""
    now = store.clock.now()
    if kind in {"error", "timeout", "crashed"}:
        fields.setdefault("error", Failure("Broken", f"{kind} {verdict}".strip()))
    return Outcome(kind, now - SECOND, now, verdict, **fields)


def ending(job: Claimed, ended: Outcome, policy: Policy = POLICY) -> Settlement:
    """Return the settlement that follows from the outcome."""
    return settlement(job, ended, cast("Policies", _Same(policy)), chance=float)


class _Same:
    """A policy that is the same for every job."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def of(self, _: Claimed) -> Policy:
        """Return the policy."""
        return self._policy


def end(store: Store, job: Claimed, kind: str = "success", verdict: str = "", **fields: Any) -> None:
    """Settle one attempt, whose lease must still be valid."""
    policy = fields.pop("policy", POLICY)
    assert store.settle([ending(job, outcome(store, kind, verdict, **fields), policy)]) == []


def finish(store: Store, jobs: Iterable[Claimed]) -> None:
    """Settle jobs as successful, in one call."""
    assert store.settle([ending(job, outcome(store)) for job in jobs]) == []


def stored(store: Store, job_id: int) -> Job:
    """Return the job, which must exist."""
    job = store.jobs.get(job_id)
    assert job is not None
    return job


def states(store: Store, ids: Iterable[int]) -> list[str]:
    """Return the states of jobs, in order."""
    return [stored(store, job_id).state for job_id in ids]
