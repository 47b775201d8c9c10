"""Which part a runner plays, and when what it does now and then is due again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cronq.pool import Started


@dataclass
class Times:
    """Monotonic times of what happens now and then."""

    settled: float = 0.0
    renew: float = 0.0
    heed: float = 0.0
    maintain: float = 0.0


class Part(NamedTuple):
    """Which part a runner plays: `run`, `work` or `serve-inetd`, on which queues, with how many children."""

    kind: str
    queues: str = ""
    children: int | None = None
    """None stands for the configured number."""
    started: Started | None = None
    """Children that were at work before there was an engine for them."""
