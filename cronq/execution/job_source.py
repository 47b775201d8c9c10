"""The interfaces of an engine: where its jobs come from, and when it sleeps and ends."""

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
    """Tells an engine how long to sleep and when to end."""

    def is_over(self) -> bool:
        """Tell whether to end. Called while children have no jobs and all outcomes are written."""

    def pause(self) -> float:
        """Return the most seconds to sleep. Called under the same condition."""

    def watched(self) -> Iterable[int]:
        """Return the descriptors that end a sleep when they are readable."""


class NoJobs:
    """Claims nothing: the engine's children are given jobs directly."""

    promotes = False
    exhausted = True

    def take(self, count: int) -> list[Claimed]:
        """Return no jobs."""
        del count
        return []
