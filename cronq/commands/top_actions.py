"""Carry out the keys of `cronq top` that pause queues, retry and cancel jobs, as the commands of these names do."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cronq.model.job import CANCELLABLE, RETRYABLE, State
from cronq.model.selection import Selection
from cronq.storage.tables import BATCH
from cronq.system import audit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronq.store import Store

_FAILED = frozenset({State.FAILED.value, State.RETRYING.value})


class Question(NamedTuple):
    """A question before jobs are changed. After a yes, `sure` changes them and returns the message to show."""

    text: str
    sure: Callable[[], str]


class Target(NamedTuple):
    """The jobs that a key changes: those of a queue, of all queues, or of a group of failures."""

    selection: Selection
    name: str
    """The words for them in a question: `queue mail`, `error 1a7e70ac`."""
    typed: tuple[str, ...]
    """The options by which a command selects them, for the audit log."""

    @classmethod
    def of_queue(cls, queue: str | None) -> Target:
        """Return the target for the jobs of a queue, or of all queues if it is None."""
        if queue is None:
            return cls(Selection(), "all queues", ())
        return cls(Selection(queues=(queue,)), f"queue {queue}", ("--queue", queue))

    @classmethod
    def of_error(cls, fingerprint: str, queue: str | None) -> Target:
        """Return the target for the jobs of a group of failures, in one queue or in all."""
        selection, _, typed = cls.of_queue(queue)
        named = selection._replace(errors=(fingerprint,))
        return cls(named, f"error {fingerprint}", ("--error", fingerprint, *typed))


class TopActions:
    """Changes jobs and queues when keys of `cronq top` are pressed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def pause(self, queue: str | None) -> str:
        """Pause the queue, or resume it if it is paused; return the message to show."""
        if queue is None:
            return "which queue? up and down choose one"
        if self._store.admin.pause(queue):
            audit.record(("pause", queue))
            return f"queue {queue} is paused: p lets it go on"
        if self._store.admin.resume(queue):
            audit.record(("resume", queue))
        return f"queue {queue} goes on"

    def retry(self, target: Target) -> Question | str:
        """Return the question whether to retry the target's failed and retrying jobs, or that there are none."""
        ids = self._ids(target)
        if not ids:
            return f"nothing is failed or retrying in {target.name}"
        typed = ("retry", "--state", "failed,retrying", *target.typed)
        return Question(f"retry {_number(ids)} of {target.name}? {_YES}", lambda: self._retry(ids, typed))

    def cancel(self, target: Target) -> Question | str:
        """Return the question whether to cancel the target's failed and retrying jobs, or that there are none."""
        ids = self._ids(target)
        if not ids:
            return f"nothing is failed or retrying in {target.name}"
        typed = ("cancel", "--state", "failed,retrying", *target.typed)
        return Question(f"cancel {_number(ids)} of {target.name}? {_YES}", lambda: self._cancel(ids, typed))

    def retry_job(self, job_id: int) -> Question | str:
        """Return the question whether to retry one job, or why it can't be retried."""
        state = self._state(job_id)
        if state not in RETRYABLE:
            return _refusal(job_id, state, "retried")
        return Question(f"retry job {job_id}, {state}? {_YES}", lambda: self._retry([job_id], ("retry", str(job_id))))

    def cancel_job(self, job_id: int) -> Question | str:
        """Return the question whether to cancel one job, or to end it if it runs, or why that can't be done."""
        state = self._state(job_id)
        if state == State.RUNNING:
            text = f"job {job_id} is running: end it (TERM, then KILL)? {_YES}"
            return Question(text, lambda: self._kill(job_id))
        if state not in CANCELLABLE:
            return _refusal(job_id, state, "cancelled")
        return Question(
            f"cancel job {job_id}, {state}? {_YES}", lambda: self._cancel([job_id], ("cancel", str(job_id)))
        )

    def _ids(self, target: Target) -> list[int]:
        return self._store.jobs.ids(target.selection._replace(states=_FAILED))

    def _state(self, job_id: int) -> str | None:
        job = self._store.jobs.get(job_id)
        return None if job is None else job.state

    def _retry(self, ids: Sequence[int], typed: Sequence[str]) -> str:
        changed = _in_batches(ids, typed, lambda batch: len(self._store.admin.retry_all_but_twins(batch).changed))
        left = len(ids) - changed
        return f"{changed:,} retried" + (f", {left:,} not, because of their unfinished twins" if left else "")

    def _cancel(self, ids: Sequence[int], typed: Sequence[str]) -> str:
        changed = _in_batches(ids, typed, lambda batch: len(self._store.admin.cancel(batch, reason="by hand")))
        return f"{changed:,} cancelled"

    def _kill(self, job_id: int) -> str:
        asked = self._store.admin.request_kill([job_id])
        audit.record(("cancel", "--kill", str(job_id)), len(asked))
        return f"job {job_id} is asked to end" if asked else f"job {job_id} runs no more"


_YES = "y, or any other key"


def _number(ids: Sequence[int]) -> str:
    return "1 failed or retrying job" if len(ids) == 1 else f"{len(ids):,} failed or retrying jobs"


def _refusal(job_id: int, state: str | None, done: str) -> str:
    return f"there is no job {job_id} any more" if state is None else f"job {job_id} is {state} and can't be {done}"


def _in_batches(ids: Sequence[int], typed: Sequence[str], change: Callable[[Sequence[int]], int]) -> int:
    """Change the jobs in batches, and write to the audit log; returns the number of jobs changed."""
    changed = 0
    try:
        for start in range(0, len(ids), BATCH):
            changed += change(ids[start : start + BATCH])
    finally:
        audit.record(typed, changed)
    return changed
