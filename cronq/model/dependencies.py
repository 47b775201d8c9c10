"""What a job comes after, and what the states of those jobs mean for it. Pure rules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.model.after import AFTER, AFTER_END, AFTER_FAILURE
from cronq.model.claimed_job import ENDED, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cronq.model.batch import BatchRow

UNMET = "Unmet"
"""The error class of a job that was cancelled because a job that it comes after ended in another way."""

_ROOT = re.compile(r"(job|batch) (\d+), which it comes after, ")


class After(NamedTuple):
    """What a new job comes after: a job that exists, or with `here` the job at this place of the same call.

    A batch stands by its id with a minus sign.
    """

    job: int
    kind: str = AFTER
    here: bool = False
    must_exist: bool = True
    """False: a job that isn't there, or that can't fulfil it any more, counts as fulfilled."""


class Parent(NamedTuple):
    """A job that another one comes after, as it stands now; `state` is None if it isn't there any more."""

    id: int
    kind: str
    state: str | None
    skipped: bool = False
    """Whether it is cancelled because it skipped itself, which counts as finished."""
    reason: str = ""
    """Why it was cancelled, if it was because of a job that it comes after."""

    @property
    def name(self) -> str:
        """As messages call it: `job 41`, or `batch 7`."""
        return f"job {self.id}" if self.id > 0 else f"batch {-self.id}"

    @property
    def is_open(self) -> bool:
        """Whether it has not ended yet."""
        return self.state is not None and self.state not in ENDED

    @property
    def is_unmet(self) -> bool:
        """Whether it ended in another way than the job after it asks for."""
        if self.state is None or self.is_open or self.kind == AFTER_END:
            return False
        if self.kind == AFTER_FAILURE:
            return self.state != State.FAILED
        return self.state != State.FINISHED and not self.skipped

    @property
    def how(self) -> str:
        """How it ended."""
        return {State.FINISHED: "has finished", State.FAILED: "failed"}.get(State(self.state or ""), "was cancelled")


def first_unmet(parents: Iterable[Parent]) -> Parent | None:
    """The first job that ended in another way than asked for."""
    return next((parent for parent in parents if parent.is_unmet), None)


def reason(parent: Parent) -> str:
    """Why a job can't start any more: names the job at the root of it."""
    if parent.reason:
        return parent.reason
    if parent.kind == AFTER_FAILURE:
        return f"{parent.name}, which has to fail before it, {parent.how}"
    return f"{parent.name}, which it comes after, {parent.how}"


def root_of(why: str) -> str | None:
    """The arguments of the `cronq retry` that brings back what was cancelled for this reason."""
    found = _ROOT.match(why)
    return found and (found[2] if found[1] == "job" else f"--batch {found[2]} --state failed,cancelled")


class Ties(NamedTuple):
    """The jobs and batches that a job comes after, the jobs that come after it, its batch, and its limit."""

    before: Sequence[Parent] = ()
    following: Sequence[Parent] = ()
    batch: BatchRow | None = None
    limit: str | None = None

    def lines(self) -> list[tuple[str, str]]:
        """All as a person reads them, with their labels."""
        batch = f"{self.batch.label.removeprefix('batch ')}, {self.batch.state}" if self.batch else ""
        return [
            ("batch", batch),
            ("comes after", ", ".join(f"{one.name}{_CONDITIONS[one.kind]} ({_stands(one)})" for one in self.before)),
            ("before", ", ".join(f"{one.name}{_CONDITIONS[one.kind]} ({_stands(one)})" for one in self.following)),
            ("limit", self.limit or ""),
        ]

    def to_json(self) -> dict[str, Any]:
        """All under their documented field names."""
        batch = self.batch and {"id": self.batch.id, "name": self.batch.name, "state": self.batch.state}
        return {
            "after": [_json(one) for one in self.before],
            "before": [_json(one) for one in self.following],
            "batch": batch,
            "limit": self.limit,
        }


NO_TIES = Ties()
_CONDITIONS = {AFTER: "", AFTER_END: " in any case", AFTER_FAILURE: " if it fails"}


def _stands(one: Parent) -> str:
    return one.state or "gone"


def _json(one: Parent) -> dict[str, Any]:
    job, batch = (one.id, None) if one.id > 0 else (None, -one.id)
    return {"id": job, "batch": batch, "kind": one.kind, "state": one.state}
