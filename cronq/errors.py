"""Define the errors that cronq raises, and the verdicts that a task raises about its own job.

CronqError                  every error cronq raises on purpose; carries an exit status
├── UsageError              64  the command line is wrong, or a call isn't possible here
├── InvalidInput            65  arguments, times or payloads that can't be used
│   └── UnknownTask         65  no such task here
├── JobNotFound              1  no job has this id
├── NoQueue                  1  the queue that was to be read doesn't exist yet
├── JobFailed                1  the job waited for did not finish
├── BatchFailed              1  the batch waited for did not finish
├── Unavailable             69  database or transport out of reach after retries
│   └── TooSlow             69  a statement took longer than its limit and was ended
├── TryLater                75  not now: a wait timed out
└── ConfigError             78  the configuration, or a file or module that it names, is wrong

Verdict                     raised by a task about its own job
├── Fail                    failed for good, no retry
│   └── UnstorableResult    the result of a Django task can't be stored
├── Retry                   failed now, try again after the delay given
├── Snooze                  run again later, no attempt spent
├── Skip                    not needed any more: cancelled
└── Stop                    end the runner after this job

TimeLimitExceeded           raised inside a task that ran past its time limit; `except Exception` doesn't catch it
Terminated                  raised inside a task that `cronq cancel --kill` ends; as above

End                         never raised: the class of an end without an exception, in a job's history
├── ExecutorDied            the process that ran the job died
├── LeaseLost               another runner took the job over
├── Killed                  ended by SIGUSR1 to its worker
├── Cancelled               ended by `cronq cancel --kill`
├── CrashLoop               given up because its process died too often
├── WaitedTooLong           snoozed for longer than the configuration allows
├── ExitStatus              the command ended with this status
└── Signal                  the command died of a signal
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import timedelta

    from cronq.model.job import Job


class CronqError(Exception):
    """An error with a one-line message and an exit status."""

    exit_status = 1


class UsageError(CronqError):
    """The command line is wrong, or a method was called where that isn't possible."""

    exit_status = 64


class InvalidInput(CronqError):
    """Arguments, times or payloads that can't be used."""

    exit_status = 65


class UnknownTask(InvalidInput):
    """The task is neither registered nor under an allowed prefix."""


class JobNotFound(CronqError):
    """There is no job with this id."""


class NoQueue(CronqError):
    """The database has no queue yet, and a command that only reads doesn't create one."""


class JobFailed(CronqError):
    """The job that was waited for failed or was cancelled; `job` has its state and error."""

    def __init__(self, message: str, job: Job) -> None:
        super().__init__(message)
        self.job = job


class BatchFailed(CronqError):
    """The batch that was waited for failed or was cancelled; `counts` has the numbers of its members by state."""

    def __init__(self, message: str, counts: dict[str, int]) -> None:
        super().__init__(message)
        self.counts = counts


class Unavailable(CronqError):
    """The database or a transport could not be reached, even after retries."""

    exit_status = 69


class TooSlow(Unavailable):
    """A statement took longer than its limit and was ended."""

    @classmethod
    def after(cls, seconds: float) -> TooSlow:
        """Make the error for a limit in seconds."""
        return cls(f"the database took longer than {seconds:g}s for this, and was stopped")


class TryLater(CronqError):
    """The operation isn't done yet; the same call may succeed later."""

    exit_status = 75


class ConfigError(CronqError):
    """The configuration, or a file or module that it names, is wrong."""

    exit_status = 78


INTERNAL_ERROR = 70
INPUT_OUTPUT = 74


def status_of(error: Exception) -> tuple[int, str]:
    """Return the exit status and the message of an error."""
    if isinstance(error, CronqError):
        return error.exit_status, str(error)
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        return INPUT_OUTPUT, f"{error.strerror or error}{place}"
    return INTERNAL_ERROR, f"internal error: {type(error).__name__}: {error} (--debug shows where)"


class Verdict(Exception):
    """Raised by a task to decide the outcome of its own job."""


class Fail(Verdict):
    """The job is `failed` at once, without another attempt."""


class Retry(Verdict):
    """This attempt failed; try again after `delay` (seconds, "15m", a timedelta, or None for the usual delay)."""

    def __init__(self, why: str = "", *, delay: float | str | timedelta | None = None) -> None:
        super().__init__(why)
        self.delay = delay


class Snooze(Verdict):
    """Run again after `delay` (seconds, "15m" or a timedelta, at least 1 s): the job is `waiting`, no attempt spent."""

    def __init__(self, delay: float | str | timedelta, why: str = "") -> None:
        super().__init__(why)
        self.delay = delay


class Skip(Verdict):
    """No longer needed: the job is `cancelled` with this reason."""


class Stop(Verdict):
    """End the runner after this job.

    The verdict on the job follows the cause (`raise Stop() from error`); without a
    cause the job fails as with `Fail`.
    """


class End(Exception):
    """Never raised: names an end without an exception, so that each failed attempt has an importable class."""


class ExecutorDied(End):
    """The process that ran the job died."""


class LeaseLost(End):
    """Another runner took the job over."""


class Killed(End):
    """SIGUSR1 to its worker ended the job."""


class Cancelled(End):
    """`cronq cancel --kill` ended the job."""


class CrashLoop(End):
    """The job was given up because its process died too often."""


class WaitedTooLong(End):
    """The job was snoozed for longer than `wait_cap` allows."""


class ExitStatus(End):
    """The command ended with an exit status that isn't 0."""


class Signal(End):
    """The command died of a signal."""


class UnstorableResult(Fail, TypeError):
    """A Django task returned a value that JSON doesn't have, or one larger than `result_limit`."""


class TimeLimitExceeded(BaseException):
    """Raised inside a task that ran past its time limit.

    Not an `Exception`, so that `except Exception` around a loop doesn't catch it.
    """


class Terminated(BaseException):
    """Raised inside a job that `cronq cancel --kill` ends; the job has the grace period to clean up."""
