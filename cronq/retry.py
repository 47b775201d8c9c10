"""When a failed attempt is tried again."""

from __future__ import annotations

from typing import NamedTuple

from cronq.times import SECOND


class Policy(NamedTuple):
    """All that decides what follows an attempt, resolved for one task. Durations in seconds."""

    base: float = 60.0
    cap: float = 960.0
    jitter: float = 0.1
    on_crash: str = "retry"
    group_on_failed: str = "release"
    notify_after: int = 5
    wait_cap: float = 7 * 86400.0
    time_limit: float = 3600.0


def delay(attempt: int, policy: Policy, *, chance: float) -> float:
    """Seconds from the end of attempt n to the next: base, doubling up to cap, plus up to jitter.

    `chance` in [0, 1) decides the jitter, which only ever adds.
    """
    doubled = policy.base * 2.0 ** min(attempt - 1, 62)
    return min(doubled, policy.cap) * (1 + policy.jitter * chance)


def due_again(ended_at: int, seconds: float) -> int:
    """The instant `seconds` after an attempt's end."""
    return ended_at + round(seconds * SECOND)
