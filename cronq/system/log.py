"""Write events to cronq's one logger, a line each.

Each step of a job is an event at INFO with the job's id, so that a log in JSON can be searched for
one job. No text is built while the level is off.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cronq.model.job import Claimed

log = logging.getLogger("cronq")
log.addHandler(logging.NullHandler())


def step(job_id: int, event: str, *, task: str = "", queue: str = "", why: str = "") -> None:
    """Log a step of a job: enqueued, due, running, finished and so on."""
    if not log.isEnabledFor(logging.INFO):
        return
    named = f" ({task})" if task else ""
    reason = f": {why}" if why else ""
    facts = {"job": job_id, "event": event, "task": task, "queue": queue, "why": why}
    text = " ".join(f"job {job_id}{named} {event}{reason}".split())
    log.info("%s", text, extra={"facts": {name: fact for name, fact in facts.items() if fact}})


def steps(jobs: Iterable[Claimed], event: str) -> None:
    """Log the same step of several jobs."""
    if log.isEnabledFor(logging.INFO):
        for job in jobs:
            step(job.id, event, task=job.task, queue=job.queue)
