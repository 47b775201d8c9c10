"""A job queue that needs nothing but a database and a line in crontab.

    from cronq import Cronq

    queue = Cronq.from_config()

    @queue.task(name="mail.send")
    def send_mail(to: str) -> None: ...

    send_mail.enqueue(to="ann@example.org")

The names are imported when they are first used: cron starts cronq each minute, and an idle run
needs none of them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.app import Cronq as Cronq
    from cronq.errors import CronqError as CronqError
    from cronq.errors import Fail as Fail
    from cronq.errors import JobFailed as JobFailed
    from cronq.errors import Retry as Retry
    from cronq.errors import Skip as Skip
    from cronq.errors import Snooze as Snooze
    from cronq.errors import Stop as Stop
    from cronq.errors import TimeLimitExceeded as TimeLimitExceeded
    from cronq.execution.job_context import current_job as current_job
    from cronq.model.job import Job as Job

__version__ = "0.1.0"

_HOMES = {
    "Cronq": "cronq.app",
    "CronqError": "cronq.errors",
    "Fail": "cronq.errors",
    "Job": "cronq.model.job",
    "JobFailed": "cronq.errors",
    "Retry": "cronq.errors",
    "Skip": "cronq.errors",
    "Snooze": "cronq.errors",
    "Stop": "cronq.errors",
    "TimeLimitExceeded": "cronq.errors",
    "current_job": "cronq.execution.job_context",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
