"""Define batches as a program uses them: `queue.batch(…)`, `queue.open_batch(…)`, and `current_job().batch`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

from cronq.client.batch_ids import BatchReference
from cronq.errors import InvalidInput, UsageError
from cronq.model.after import AFTER, AFTER_END, AFTER_FAILURE
from cronq.model.batch import CONTINUE, ON_FAILED, NewBatch
from cronq.model.job import NewJob

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cronq.client.enqueueing import Enqueuer

    Spec = NewJob | Mapping[str, Any]
    Callbacks = NewJob | Sequence[NewJob] | None

_AT_ONCE = 1000
"""The number of jobs that `add` stores in one transaction."""

_LONGEST_NAME = 255

CALLBACKS = {"on_success": AFTER, "on_failure": AFTER_FAILURE, "on_end": AFTER_END}
"""The options that give callbacks, each with the way in which such a job comes after the batch."""


class BatchOptions(TypedDict, total=False):
    """The options of a new batch: jobs that come after it, and `on_failed`, `"continue"` or `"cancel"`."""

    on_success: Callbacks
    on_failure: Callbacks
    on_end: Callbacks
    on_failed: str


class Batch(BatchReference):
    """Jobs that end together, and the jobs that come after their end."""

    def __init__(self, enqueuer: Enqueuer, batch_id: int | None, new: NewBatch | None = None) -> None:
        self._enqueuer = enqueuer
        self._new = new
        self._id = batch_id
        self._jobs: list[NewJob] = []

    @property
    def id(self) -> int:
        """The batch's id. Raises UsageError within its `with` block: it is stored at the end."""
        if self._id is None:
            raise UsageError("a batch is stored at the end of its `with` block: it has no id before")
        return self._id

    def __repr__(self) -> str:
        return f"Batch({self._id})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._id is None and self._new is not None:
            self._id = self._enqueuer.open_batch(self._new._replace(jobs=self._jobs, closed=True))

    def add(self, *jobs: Spec | Iterable[Spec]) -> None:
        """Add jobs that `task.job(…)` made, or dicts as for `enqueue_many`; any number of each, or of iterables.

        Within `with queue.batch(…)`, all are stored in one transaction at the end of the block. Later, a
        thousand are stored at a time, so that an iterable may be longer than memory. Raises InvalidInput if
        the batch has ended or was cancelled.
        """
        given = _flat(jobs)
        if self._id is None:
            self._collect(list(given))
            return
        while some := list(islice(given, _AT_ONCE)):
            found = self._enqueuer.prepare_all(some)
            self._enqueuer.enqueue_all([job._replace(batch=self._id) for job in found])

    def _collect(self, given: Sequence[Spec]) -> None:
        first = len(self._jobs)
        for job in self._enqueuer.prepare_all(given):
            moved = tuple(one._replace(job=one.job + first) if one.here else one for one in job.after)
            self._jobs.append(job._replace(after=moved))

    def close(self) -> bool:
        """Close the batch, so that it ends once its members have ended; returns False if it is closed already."""
        return self._enqueuer.store.batches.close(self.id)

    def cancel(self) -> bool:
        """Close the batch and cancel its members that aren't running; no jobs can be added to it any more.

        Returns False if it has ended or was cancelled.
        """
        return self._enqueuer.store.batches.cancel(self.id)

    @property
    def state(self) -> str:
        """The state now: `open`, `running`, `finished`, `failed` or `cancelled`."""
        return self._enqueuer.store.batches.require(self.id).state

    def counts(self) -> dict[str, int]:
        """Return the numbers of its members by state: those that skipped themselves are `skipped`."""
        return self._enqueuer.store.batches.counts(self.id)


def described(name: str | None, **options: Unpack[BatchOptions]) -> NewBatch:
    """Make a new batch of its name and options. Raises InvalidInput naming what is wrong."""
    if name is not None and not (type(name) is str and 0 < len(name) <= _LONGEST_NAME and name.isprintable()):
        raise InvalidInput(f"batch: expected a name of 1 to {_LONGEST_NAME} printable characters: got {name!r}")
    rest: dict[str, Any] = dict(options)
    on_failed = rest.pop("on_failed", None) or CONTINUE
    if on_failed not in ON_FAILED:
        raise InvalidInput(f"on_failed: expected {' or '.join(map(repr, ON_FAILED))}: got {on_failed!r}")
    callbacks = [(kind, job) for what, kind in CALLBACKS.items() for job in _callbacks(what, rest.pop(what, None))]
    if rest:
        raise InvalidInput(f"batch: unknown option {min(rest)!r}, known are {', '.join(CALLBACKS)}, on_failed")
    return NewBatch(name, on_failed, callbacks=callbacks)


def _callbacks(what: str, jobs: object) -> Sequence[NewJob]:
    found = [] if jobs is None else [jobs] if isinstance(jobs, NewJob) else jobs
    if not isinstance(found, list | tuple) or not all(isinstance(job, NewJob) for job in found):
        raise InvalidInput(f"{what}: expected a job as task.job(…) makes it, or a list of these: got {jobs!r}")
    return found


def _flat(jobs: Iterable[Spec | Iterable[Spec]]) -> Iterator[Spec]:
    for one in jobs:
        if isinstance(one, NewJob | dict):
            yield one
        else:
            yield from one  # type: ignore[misc]
