"""Define what a job comes after, and the rules by which the states of those jobs release or cancel it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.model.after import AFTER, AFTER_END, AFTER_FAILURE
from cronq.model.claimed_job import ENDED, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cronq.model.batch import BatchRow

UNMET = "Unmet"
"""The error class of a job that was cancelled because a job that it comes after ended in another way than required."""

_ROOT = re.compile(r"(job|batch) (\d+), which it comes after, ")


class After(NamedTuple):
    """A job or batch that a new job comes after.

    `job` is the id of a stored job, or with `here` the index of a job of the same call. A batch is given as its id
    with a minus sign.
    """

    job: int
    kind: str = AFTER
    here: bool = False
    must_exist: bool = True
    """Whether it is an error if the job is missing or can't meet the condition any more; if not, that counts as met."""


class Related(NamedTuple):
    """A job or batch that a job comes after, or a job that comes after it, in its present state.

    The state is None if it doesn't exist any more. A batch has its id with a minus sign.
    """

    id: int
    kind: str
    state: str | None
    skipped: bool = False
    """Whether it was cancelled by its own `Skip`, which counts as finished."""
    reason: str = ""
    """The message with which it was cancelled because of a job that it comes after itself; else empty."""

    @property
    def name(self) -> str:
        """The name in messages: `job 41`, or `batch 7`."""
        return f"job {self.id}" if self.id > 0 else f"batch {-self.id}"

    @property
    def is_open(self) -> bool:
        """Whether it exists and has not ended yet."""
        return self.state is not None and self.state not in ENDED

    @property
    def is_unmet(self) -> bool:
        """Whether it ended in another way than `kind` requires, so that the job after it can't start any more."""
        if self.state is None or self.is_open or self.kind == AFTER_END:
            return False
        if self.kind == AFTER_FAILURE:
            return self.state != State.FAILED
        return self.state != State.FINISHED and not self.skipped

    @property
    def how(self) -> str:
        """The words for how it ended: `has finished`, `failed` or `was cancelled`."""
        return {State.FINISHED: "has finished", State.FAILED: "failed"}.get(State(self.state or ""), "was cancelled")


def first_unmet(parents: Iterable[Related]) -> Related | None:
    """Return the first of these that ended in another way than required; None if none did."""
    return next((parent for parent in parents if parent.is_unmet), None)


def reason(parent: Related) -> str:
    """Return why a job that comes after this one can't start any more; names the job that is the first cause."""
    if parent.reason:
        return parent.reason
    if parent.kind == AFTER_FAILURE:
        return f"{parent.name}, which has to fail before it, {parent.how}"
    return f"{parent.name}, which it comes after, {parent.how}"


def root_of(why: str) -> str | None:
    """Return the arguments of the `cronq retry` that puts back jobs cancelled for this reason, or None."""
    found = _ROOT.match(why)
    return found and (found[2] if found[1] == "job" else f"--batch {found[2]} --state failed,cancelled")


class Ties(NamedTuple):
    """The jobs and batches that a job comes after, the jobs that come after it, its batch, and its limit."""

    before: Sequence[Related] = ()
    following: Sequence[Related] = ()
    batch: BatchRow | None = None
    limit: str | None = None

    def lines(self) -> list[tuple[str, str]]:
        """Return pairs of a label and a text for people; the text is empty where there is nothing."""
        batch = f"{self.batch.label.removeprefix('batch ')}, {self.batch.state}" if self.batch else ""
        return [
            ("batch", batch),
            ("comes after", ", ".join(f"{one.name}{_CONDITIONS[one.kind]} ({_stands(one)})" for one in self.before)),
            ("before", ", ".join(f"{one.name}{_CONDITIONS[one.kind]} ({_stands(one)})" for one in self.following)),
            ("limit", self.limit or ""),
        ]

    def to_json(self) -> dict[str, Any]:
        """Return all with their documented field names."""
        batch = self.batch and {"id": self.batch.id, "name": self.batch.name, "state": self.batch.state}
        return {
            "after": [_json(one) for one in self.before],
            "before": [_json(one) for one in self.following],
            "batch": batch,
            "limit": self.limit,
        }


NO_TIES = Ties()
_CONDITIONS = {AFTER: "", AFTER_END: " in any case", AFTER_FAILURE: " if it fails"}


def _stands(one: Related) -> str:
    return one.state or "gone"


def _json(one: Related) -> dict[str, Any]:
    job, batch = (one.id, None) if one.id > 0 else (None, -one.id)
    return {"id": job, "batch": batch, "kind": one.kind, "state": one.state}
