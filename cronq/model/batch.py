"""Define a batch: jobs that end together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.times import to_datetime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cronq.model.job import NewJob

CONTINUE, CANCEL = "continue", "cancel"
ON_FAILED = (CONTINUE, CANCEL)
"""The values of `on_failed`: when a member has failed, the other members continue or are cancelled."""

OPEN, RUNNING = "open", "running"


class NewBatch(NamedTuple):
    """A batch about to be stored, with its first members and its callbacks."""

    name: str | None
    on_failed: str = CONTINUE
    jobs: Sequence[NewJob] = ()
    callbacks: Sequence[tuple[str, NewJob]] = ()
    """Jobs that come after the batch, each with its kind: `after`, `after_end` or `after_failure`."""
    closed: bool = False


class BatchRow(NamedTuple):
    """A batch as it is stored, with the fields in the order of BATCH_COLUMNS; times are instants."""

    id: int
    name: str | None
    on_failed: str
    opened_at: int
    opened_by: str
    closed_at: int | None
    cancelled_at: int | None
    ended_at: int | None
    outcome: str | None
    looked_to: int = 0
    """The job id at which a search for outstanding members begins; a member with a lower id may have been retried."""

    @property
    def state(self) -> str:
        """The state: `open`, `running`, `finished`, `failed` or `cancelled`."""
        return self.outcome or (OPEN if self.closed_at is None else RUNNING)

    @property
    def label(self) -> str:
        """The name of the batch in messages: `batch 7 (import)`."""
        return f"batch {self.id}" + (f" ({self.name})" if self.name else "")

    @property
    def title(self) -> str:
        """The label at the beginning of a sentence: `Batch 7 (import)`."""
        return f"B{self.label[1:]}"

    def to_json(self, counts: Mapping[str, int]) -> dict[str, Any]:
        """Return the batch with its documented field names."""
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "on_failed": self.on_failed,
            "opened_at": _iso(self.opened_at),
            "opened_by": self.opened_by,
            "closed_at": _iso(self.closed_at),
            "cancelled_at": _iso(self.cancelled_at),
            "ended_at": _iso(self.ended_at),
            "members": sum(counts.values()),
            "counts": dict(counts),
        }


def outcome_of(tally: Mapping[str, int], *, cancelled: bool) -> str:
    """Return `finished`, `failed` or `cancelled` from the number of members in each state.

    `cancelled` says whether the batch itself was cancelled.
    """
    if tally.get("failed"):
        return "failed"
    return "cancelled" if cancelled or tally.get("cancelled") else "finished"


def _iso(instant: int | None) -> str | None:
    return None if instant is None else to_datetime(instant).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
