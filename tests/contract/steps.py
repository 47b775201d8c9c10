"""What tests do to a store: enqueue, claim, end; the same on every engine."""

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
    """A job about to be enqueued; `later` is a delay in seconds."""
    return NewJob(task, **fields)


def put(store: Store, *jobs: NewJob) -> list[int]:
    """Enqueue jobs; their ids."""
    return [enqueued.id for enqueued in store.enqueue(jobs)]


def later(store: Store, seconds: float) -> int:
    """The instant so many seconds from now."""
    return store.clock.now() + round(seconds * SECOND)


def claim(store: Store, limit: int = 100, *, worker: str = "one", wanted: Filter = ALL) -> list[Claimed]:
    """Claim for a worker, with a lease of a minute."""
    now = store.clock.now()
    return store.claim(wanted, Lease(worker, now=now, seconds=LEASE / SECOND), limit=limit)


def claimed_ids(store: Store, limit: int = 100, *, worker: str = "one", wanted: Filter = ALL) -> list[int]:
    """The ids of a claim, in its order."""
    return [job.id for job in claim(store, limit, worker=worker, wanted=wanted)]


def outcome(store: Store, kind: str = "success", verdict: str = "", **fields: Any) -> Outcome:
    """An attempt that took a second and ended now."""
    now = store.clock.now()
    if kind in {"error", "timeout", "crashed"}:
        fields.setdefault("error", Failure("Broken", f"{kind} {verdict}".strip()))
    return Outcome(kind, now - SECOND, now, verdict, **fields)


def ending(job: Claimed, ended: Outcome, policy: Policy = POLICY) -> Settlement:
    """What the outcome means for the job."""
    return settlement(job, ended, cast("Policies", _Same(policy)), chance=float)


class _Same:
    """The same policy for every job."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def of(self, _: Claimed) -> Policy:
        """The policy."""
        return self._policy


def end(store: Store, job: Claimed, kind: str = "success", verdict: str = "", **fields: Any) -> None:
    """Settle one attempt, which must be ours."""
    policy = fields.pop("policy", POLICY)
    assert store.settle([ending(job, outcome(store, kind, verdict, **fields), policy)]) == []


def finish(store: Store, jobs: Iterable[Claimed]) -> None:
    """Settle successes in one go."""
    assert store.settle([ending(job, outcome(store)) for job in jobs]) == []


def stored(store: Store, job_id: int) -> Job:
    """The job, which must be there."""
    job = store.jobs.get(job_id)
    assert job is not None
    return job


def states(store: Store, ids: Iterable[int]) -> list[str]:
    """The states of jobs, in order."""
    return [stored(store, job_id).state for job_id in ids]
