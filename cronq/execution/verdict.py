"""Turn an exception from a task into the outcome of its attempt."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cronq.errors import Fail, Retry, Skip, Snooze, Stop, Terminated, TimeLimitExceeded
from cronq.execution.bounds import NAME_LIMIT, PATH_LIMIT, kept
from cronq.execution.output_capture import storable
from cronq.execution.shell_command import terminated
from cronq.model.claimed_job import Failure
from cronq.model.outcome import Outcome
from cronq.times import parse_duration

if TYPE_CHECKING:
    from datetime import timedelta
    from types import TracebackType


_TRACEBACK_LIMIT = 32_768

_SHORTEST_SNOOZE = 1.0
"""Seconds: a job that snoozes for less would keep a run from ever ending."""


def verdict_of(error: BaseException, started: int) -> Outcome:
    """Make the outcome for an exception from a task."""
    if isinstance(error, Stop):
        cause = error.__cause__
        inner = verdict_of(cause, started) if cause else _outcome("error", error, started, verdict="fail")
        return inner._replace(stop=True)
    try:
        return _verdict(error, started)
    except Exception as bad:
        return _outcome("error", bad, started, verdict="fail")


def failed_for_good(error: BaseException, started: int) -> Outcome:
    """Make the outcome of an attempt that this error of cronq's ends without a retry."""
    return _outcome("error", error, started, verdict="fail")


def _verdict(error: BaseException, started: int) -> Outcome:
    match error:
        case Snooze():
            outcome = _outcome("snoozed", error, started, verdict="snooze")
            return outcome._replace(delay=max(_SHORTEST_SNOOZE, parse_duration(error.delay, what="Snooze")))
        case Skip():
            return _outcome("", error, started, verdict="skip")
        case Fail():
            return _outcome("error", error, started, verdict="fail")
        case Retry():
            delay, warnings = _retry_delay(error.delay)
            return _outcome("error", error, started, verdict="retry")._replace(delay=delay, warnings=warnings)
        case Terminated():
            return terminated(started)
        case _:
            raised = _as_quit(error) if isinstance(error, SystemExit) else error
            return _outcome("timeout" if isinstance(error, TimeLimitExceeded) else "error", raised, started)


def _as_quit(error: SystemExit) -> BaseException:
    """Return BdbQuit if `quit` in pdb raised this, as pdb itself did before Python 3.14; else the error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_globals.get("__name__") != "pdb":
        return error
    from bdb import BdbQuit  # here, not above: pdb has imported it

    return BdbQuit().with_traceback(error.__traceback__)


def _retry_delay(delay: float | str | timedelta | None) -> tuple[float | None, tuple[str, ...]]:
    """Return the seconds, None for the usual delay; for a time that has passed already, 0 and a warning."""
    from datetime import timedelta  # here, not above: few tasks raise Retry

    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if isinstance(seconds, int | float) and seconds < 0:
        return 0.0, (f"Retry(delay={seconds:g}) is in the past: the job is tried again at once",)
    return None if seconds is None else parse_duration(seconds, what="Retry"), ()


def _outcome(kind: str, error: BaseException, started: int, *, verdict: str = "") -> Outcome:
    expected = verdict in {"snooze", "skip"} or (verdict == "fail" and _from_the_task(error.__traceback__) is None)
    trace = None if expected else _traceback(error)
    failure = Failure(kept(type(error).__name__, NAME_LIMIT), message_of(error), trace, path_of(type(error)))
    return Outcome(kind, started, started, verdict, error=failure)


def path_of(kind: type) -> str:
    """Return the importable path of the class, cut to what is stored."""
    return kept(f"{kind.__module__}.{kind.__qualname__}", PATH_LIMIT)


def message_of(error: BaseException) -> str:
    """Return the text of an exception, cut and made storable; a placeholder if its `__str__` fails."""
    try:
        return kept(str(error))
    except BaseException:
        return f"a {kept(type(error).__name__, NAME_LIMIT)} that can't be shown"


def _traceback(error: BaseException) -> str | None:
    import traceback

    trace = _from_the_task(error.__traceback__) or error.__traceback__
    try:
        lines = traceback.format_exception(type(error), error, trace, limit=-40)
    except BaseException:
        return None
    text = storable("".join(lines))
    return text if len(text) <= _TRACEBACK_LIMIT else "…" + text[-_TRACEBACK_LIMIT:]


def _from_the_task(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback without cronq's own frames at its top; None if the error is cronq's."""
    here = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120 - pathlib is slow, and every failure comes here
    start = trace
    while start is not None and start.tb_frame.f_code.co_filename.startswith(here):
        start = start.tb_next
    return start
