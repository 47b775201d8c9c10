"""Define a stored schedule, and the decisions on its due times. Instants are UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cronq.model.job import NewJob

ENQUEUED, SKIPPED, MISSED = "enqueued", "skipped", "missed"
"""The outcomes of a decision on a due time."""

EVERY_HOST = "*"
"""The host of declarations that only `cronq schedules sync` makes, for installations with `declare = "sync"`."""


class StoredSchedule(NamedTuple):
    """One row of the table of schedules, in the order of sql/schedules.py."""

    name: str
    definition: str
    """Canonical JSON."""
    next_at: int | None
    """The due time that is decided next; None where there is none."""
    due_at: int | None
    """The instant at which it is to be decided: `next_at` plus the jitter."""
    last_at: int | None
    """The watermark: every due time up to this instant is decided."""
    tz_version: str | None
    paused_at: int | None
    paused_until: int | None
    paused_by: str | None
    reason: str | None
    alerted_at: int | None = None
    """The instant of the notice that it has had no success for too long; None if there is none in force."""

    def is_paused(self, instant: int) -> bool:
        """Tell whether the schedule is paused at this instant, so that a due time is skipped."""
        return self.paused_at is not None and (self.paused_until is None or instant < self.paused_until)


class Timing(NamedTuple):
    """A schedule's times after a decision, a declaration or a command."""

    next_at: int | None
    due_at: int | None
    last_at: int | None
    tz_version: str | None


class Due(NamedTuple):
    """A due time whose job is to be enqueued."""

    fire_at: int
    job: NewJob
    late: int
    """The microseconds from its due time plus jitter to the decision."""


class Decided(NamedTuple):
    """One row of the ledger: a decided due time, or a run of skipped or missed ones."""

    schedule: str
    fire_at: int
    """The due time; of a run, the last one."""
    since: int
    """The due time; of a run, the first one."""
    times: int
    outcome: str
    reason: str | None
    job_id: int | None
    late: int
    host: str
    decided_at: int


class Decision(NamedTuple):
    """The decisions on the due times of one schedule that are made together."""

    timing: Timing
    without: Callable[[Decided, Iterable[int]], list[Decided]]
    """Returns a run of the ledger without some due times: the rows for the others."""
    due: tuple[Due, ...] = ()
    """The due times whose jobs are to be enqueued, in order of time; those for which there is no `room` are skipped."""
    passed: tuple[Decided, ...] = ()
    """The rows of the ledger for due times without a job."""
    zone: str = "UTC"
    room: int | None = None
    """The number of jobs of the schedule's group that may be unfinished (overlap `queue`); None for no limit."""


class Declaration(NamedTuple):
    """One host's declaration of one schedule."""

    host: str
    name: str
    definition_hash: str
    source: str
    seen_at: int
    declared_at: int | None
    """The instant since which the host declares this definition; None where an older cronq wrote the row."""
