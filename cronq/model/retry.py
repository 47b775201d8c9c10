"""Resolve the retry policy of a job, and compute when a failed attempt is retried."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.times import SECOND

if TYPE_CHECKING:
    from cronq.config.loader import Config
    from cronq.model.claimed_job import Claimed
    from cronq.tasks.registry import Registry


class Policy(NamedTuple):
    """The rules for what follows an attempt, resolved for one task. Durations in seconds; `jitter` is a share."""

    base: float = 60.0
    cap: float = 960.0
    jitter: float = 0.1
    on_crash: str = "retry"
    crash_limit: int = 3
    group_on_failed: str = "release"
    results: str = "keep"
    notify_after: int = 5
    wait_cap: float = 7 * 86400.0
    time_limit: float = 3600.0


_USUAL = Policy()._asdict()
UNREADABLE_OPTIONS = (ValueError, TypeError, RecursionError)
"""The exceptions that `overrides` raises for a text that can't be read."""

_LONGEST = 1e10
"""The bound of durations, in seconds."""


def delay(attempt: int, policy: Policy, *, chance: float) -> float:
    """Return the seconds from the end of this attempt (the first is 1) to the next.

    It is `base`, doubled for each further attempt up to `cap`, and then lengthened by the share `jitter` times
    `chance`, which is in [0, 1).
    """
    doubled = policy.base * 2.0 ** min(attempt - 1, 62)
    return min(doubled, policy.cap) * (1 + policy.jitter * chance)


def due_again(ended_at: int, seconds: float) -> int:
    """Return the instant `seconds` after an attempt's end."""
    return ended_at + round(seconds * SECOND)


class Policies:
    """Resolves the policies of jobs, and caches them for each task."""

    def __init__(self, config: Config, registry: Registry) -> None:
        self._config = config
        self._registry = registry
        self._by_task: dict[str, Policy] = {}

    def of(self, job: Claimed) -> Policy:
        """Return the policy of a job: that of its task, with the retry options of the job."""
        policy = self._by_task.get(job.task)
        if policy is None:
            policy = self._by_task[job.task] = self._resolve(job.task)
        return _overridden(policy, job.retry) if job.retry else policy

    def time_limit(self, job: Claimed) -> float:
        """Return the seconds that the job may run: its own limit, or that of its policy."""
        limit: Any = job.time_limit
        if limit is None or not isinstance(limit, int | float) or not 0 < limit < _LONGEST:  # a row written by hand
            return self.of(job).time_limit
        return limit

    def _resolve(self, name: str) -> Policy:
        config = self._config
        general = {
            "base": config.retry.base,
            "cap": config.retry.cap,
            "jitter": config.retry.jitter,
            "group_on_failed": config.group_on_failed,
            "results": config.results,
            "crash_limit": config.crash_limit,
            "notify_after": config.notify_after,
            "wait_cap": config.wait_cap,
            "time_limit": config.time_limit,
        }
        task = self._registry.get(name)
        return Policy(**{**general, **_known(task.options if task else None), **_chosen(config.task_setting(name))})


def overrides(text: str) -> dict[str, Any]:
    """Read the retry options of one job from JSON. Raises one of UNREADABLE_OPTIONS if they can't be used."""
    chosen: dict[str, Any] = dict(json.loads(text))
    for name, value in chosen.items():
        usual = _USUAL.get(name)
        if isinstance(usual, str):
            sound = isinstance(value, str)
        else:
            sound = isinstance(value, int | float) and usual is not None and 0 <= value < _LONGEST
        if not sound:
            raise ValueError(f"{name}: {value!r} can't be used")
    return chosen


def _overridden(policy: Policy, text: str) -> Policy:
    """Apply a job's own options; unreadable ones are ignored here, and the executor fails the job."""
    try:
        return policy._replace(**overrides(text))
    except UNREADABLE_OPTIONS:
        return policy


def _known(options: Any) -> dict[str, Any]:
    values = {name: getattr(options, name, None) for name in Policy._fields}
    return {name: value for name, value in values.items() if value is not None}


def _chosen(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name in Policy._fields}
