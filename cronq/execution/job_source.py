"""Define what an engine needs from its command: a source of jobs, and how long to sleep and when to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cronq.model.job import Claimed


class JobSource(Protocol):
    """Claims jobs for an engine."""

    promotes: bool
    """Whether the engine makes scheduled, retrying and waiting jobs ready as soon as they are due."""

    def take(self, count: int) -> list[Claimed]:
        """Claim up to `count` jobs for children that can take them."""

    @property
    def exhausted(self) -> bool:
        """Whether it claims no more jobs, even if some are due."""


class Lifetime(Protocol):
    """Decides how long an engine sleeps and when it ends."""

    def is_over(self) -> bool:
        """Tell whether to end. Called while children have no jobs and all outcomes are written."""

    def pause(self) -> float:
        """Return the most seconds to sleep. Called under the condition of `is_over`."""

    def watched(self) -> Iterable[int]:
        """Return the descriptors that end a sleep when they are readable."""


class NoJobs:
    """Claims nothing, for an engine whose caller gives jobs to the children directly."""

    promotes = False
    exhausted = True

    def take(self, count: int) -> list[Claimed]:
        """Return no jobs."""
        del count
        return []
