"""What a run did, and who is told of it while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cronq.notifications.notice import Notice


@dataclass
class Summary:
    """What a run did: jobs by the state they went to. `lost` are leases that others took over."""

    finished: int = 0
    failed: int = 0
    retrying: int = 0
    waiting: int = 0
    cancelled: int = 0
    ready: int = 0
    lost: int = 0
    conflicts: int = 0
    """How often the database had to be asked again because another runner was in the way."""
    stopped: bool = False
    """Whether a signal or a task ended the run early."""

    @property
    def ended(self) -> int:
        """Attempts that ended."""
        return self.finished + self.failed + self.retrying + self.waiting + self.cancelled + self.ready


class Report(Protocol):
    """Who is told how a run goes."""

    watched: bool
    """Whether somebody looks at `progress`: counting what is left costs a statement."""

    def progress(self, summary: Summary, total: int) -> None:
        """Outcomes were written; `total` is what there was and is to do."""

    def needs_a_person(self, notice: Notice) -> None:
        """A job failed for good, or keeps failing."""
