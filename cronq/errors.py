"""What can go wrong, and what a task may say about itself.

CronqError                  every error cronq raises on purpose; carries an exit status
├── UsageError              64  the command line doesn't make sense
├── InvalidInput            65  arguments, times or payloads that can't be used
│   └── UnknownTask         65  no such task here
├── JobNotFound              1  the job asked about isn't there
├── JobFailed                1  the job waited for did not finish
├── Unavailable             69  database or transport out of reach after retries
├── TryLater                75  not now: a wait timed out
└── ConfigError             78  the configuration, or what it points at, is wrong

Verdict                     raised by a task about its own job
├── Fail                    failed for good, no retry
├── Retry                   failed now, try again after the delay given
├── Snooze                  ask again later, no attempt spent
├── Skip                    not needed any more: cancelled
└── Stop                    end the runner after this job
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.model.job import Job


class CronqError(Exception):
    """An error with one clear sentence for a person and an exit status for a script."""

    exit_status = 1


class UsageError(CronqError):
    """The command line does not make sense."""

    exit_status = 64


class InvalidInput(CronqError):
    """Arguments, times or payloads that can't be used."""

    exit_status = 65


class UnknownTask(InvalidInput):
    """The task is neither registered nor under an allowed prefix."""


class JobNotFound(CronqError):
    """There is no job with this id."""


class JobFailed(CronqError):
    """The job that was waited for ended, but did not finish; `job` is how it stands."""

    def __init__(self, message: str, job: Job) -> None:
        super().__init__(message)
        self.job = job


class Unavailable(CronqError):
    """The database or a transport could not be reached, retries included."""

    exit_status = 69


class TryLater(CronqError):
    """Nothing is wrong, but it isn't done yet."""

    exit_status = 75


class ConfigError(CronqError):
    """The configuration, or something it points at, is wrong."""

    exit_status = 78


class Verdict(Exception):
    """What a task says about its own job by raising it."""


class Fail(Verdict):
    """This will never work: the job is `failed` at once, without another attempt."""


class Retry(Verdict):
    """This attempt failed; try again after `delay` (seconds, "15m", or None for the usual delay)."""

    def __init__(self, why: str = "", *, delay: float | str | None = None) -> None:
        super().__init__(why)
        self.delay = delay


class Snooze(Verdict):
    """Not yet: ask again after `delay` (seconds or "15m", at least 1 s). The job is `waiting`, no attempt is spent."""

    def __init__(self, delay: float | str, why: str = "") -> None:
        super().__init__(why)
        self.delay = delay


class Skip(Verdict):
    """No longer needed: the job is `cancelled` with this reason."""


class Stop(Verdict):
    """End the runner after this job.

    The verdict on the job follows the cause (`raise Stop() from error`); without a
    cause the job fails as with `Fail`.
    """


class TimeLimitExceeded(BaseException):
    """Raised inside a task that ran past its time limit.

    Not an `Exception`, so that `except Exception` around a loop doesn't swallow it.
    """


class Terminated(BaseException):
    """Raised inside a job that `cronq cancel --kill` ends: it gets the grace to clean up."""
