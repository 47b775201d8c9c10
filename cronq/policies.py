"""Which rules hold for a job: its own, its task's in the config, its task's in the code, the config's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cronq.retry import Policy

if TYPE_CHECKING:
    from cronq.claimed import Claimed
    from cronq.config import Config
    from cronq.registry import Registry


class Policies:
    """Resolved rules, kept for each task."""

    def __init__(self, config: Config, registry: Registry) -> None:
        self._config = config
        self._registry = registry
        self._by_task: dict[str, Policy] = {}

    def of(self, job: Claimed) -> Policy:
        """The rules for one job."""
        policy = self._by_task.get(job.task)
        if policy is None:
            policy = self._by_task[job.task] = self._resolve(job.task)
        return policy._replace(**json.loads(job.retry)) if job.retry else policy

    def time_limit(self, job: Claimed) -> float:
        """Seconds the job may run."""
        return self.of(job).time_limit if job.time_limit is None else job.time_limit

    def _resolve(self, name: str) -> Policy:
        config = self._config
        general = {
            "base": config.retry.base,
            "cap": config.retry.cap,
            "jitter": config.retry.jitter,
            "group_on_failed": config.group_on_failed,
            "notify_after": config.notify_after,
            "wait_cap": config.wait_cap,
            "time_limit": config.time_limit,
        }
        task = self._registry.get(name)
        return Policy(**{**general, **_known(task.options if task else None), **_chosen(config.task_setting(name))})


def _known(options: Any) -> dict[str, Any]:
    values = {name: getattr(options, name, None) for name in Policy._fields}
    return {name: value for name, value in values.items() if value is not None}


def _chosen(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name in Policy._fields}
