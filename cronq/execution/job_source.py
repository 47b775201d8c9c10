"""What an engine is given from outside: where its jobs come from, and when it sleeps and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cronq.model.job import Claimed


class JobSource(Protocol):
    """Where an engine gets its jobs from."""

    promotes: bool
    """Whether scheduled, retrying and waiting jobs are to be made ready for it as soon as they are due."""

    def take(self, count: int) -> list[Claimed]:
        """Claim up to `count` jobs for children that can take them."""

    @property
    def exhausted(self) -> bool:
        """Whether it claims nothing more, even if jobs are due."""


class Lifetime(Protocol):
    """When an engine sleeps, and when it ends."""

    def is_over(self) -> bool:
        """Whether to end. Asked while children have no jobs and every outcome is written."""

    def pause(self) -> float:
        """Seconds to sleep at most. Asked under the same condition."""

    def watched(self) -> Iterable[int]:
        """Descriptors that end a sleep when they can be read."""


class NoJobs:
    """Claims nothing: the engine's children get jobs in another way."""

    promotes = False
    exhausted = True

    def take(self, count: int) -> list[Claimed]:
        """Return no jobs."""
        del count
        return []
