"""Read rows that were damaged or written by hand: values that can't be read are replaced, with a warning each."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from cronq.storage.sql.columns import JOB_FIELDS
from cronq.times import local_time, to_datetime

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronq.model.job import Job
    from cronq.storage.drivers.database import Row

UNREADABLE = (ValueError, TypeError, AttributeError, OverflowError, RecursionError, LookupError)
"""The exceptions that the conversion of such a row raises."""

_SHOWN = 60
_MOST = 2**63


def unclaimable(job: Job) -> str | None:
    """Return the warning about the value because of which no runner can claim a job; None without one."""
    starts = tuple(f"{name} can't be read" for name in _CLAIMED_BY)
    return next((said for said in job.warnings if said.startswith(starts)), None)


def readable_job(row: Row) -> tuple[Row, tuple[str, ...]]:
    """Return a job's row with a default for each value that can't be read, and a warning about each."""
    said: list[str] = []
    mended = [_readable(name, value, said) for name, value in zip(_COLUMNS, row, strict=True)]
    return tuple(mended), tuple(said)


def _readable(name: str, value: Any, said: list[str]) -> Any:
    check, default, required = _CHECKS.get(name, (_text, "", name in _REQUIRED_TEXTS))
    if value is None and not required:
        return None
    try:
        check(value)
    except UNREADABLE as error:
        shown = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
        cut = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
        said.append(f"{_NAMES.get(name, name)} can't be read ({error}): {cut}")
        return (shown if check is _text else default) if required else None
    return value


def _text(value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(f"it is no text but {type(value).__name__}")


def _whole(value: Any) -> None:
    if not isinstance(value, int) or not -_MOST <= value < _MOST:
        raise TypeError("it is no whole number")


def _number(value: Any) -> None:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError("it is no number")


def _instant(value: Any) -> None:
    _whole(value)
    to_datetime(value)


def _json(kind: type) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        found = json.loads(value)
        if not isinstance(found, kind):
            raise TypeError(f"it is no {'object' if kind is dict else 'list'}")

    return check


def _texts(value: Any) -> None:
    found = json.loads(value)
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise TypeError("it is no list of texts")


_COLUMNS = (*JOB_FIELDS, "blocked_by")
_CLAIMED_BY = ("queue", "priority", "group")
_REQUIRED_TEXTS = frozenset({"queue", "task", "state"})
_NAMES = {"args": "arguments"}
_CHECKS: dict[str, tuple[Callable[[Any], object], Any, bool]] = {
    "args": (_json(dict), "{}", True),
    "notes": (_json(dict), None, False),
    "retry": (_json(dict), None, False),
    "warnings": (_texts, None, False),
    "result": (_json(object), None, False),
    "scheduled_for": (local_time, None, False),
    **dict.fromkeys(("created_at", "available_at"), (_instant, 0, True)),
    **dict.fromkeys(("started_at", "finished_at"), (_instant, None, False)),
    **dict.fromkeys(("id", "priority", "unique", "attempt", "max_attempts", "snoozes", "crashes"), (_whole, 0, True)),
    **dict.fromkeys(("pid", "peak_memory", "memory_before", "blocked_by"), (_whole, None, False)),
    **dict.fromkeys(("time_limit", "cpu_time"), (_number, None, False)),
}
"""By column: the function that checks a value, the default, and whether NULL is refused; other columns are texts."""

_TYPES: dict[object, set[type]] = {_whole: {int}, _instant: {int}, _number: {int, float}}
KINDS = tuple(frozenset({type(None)} | _TYPES.get(_CHECKS.get(name, (_text,))[0], {str})) for name in _COLUMNS)
"""The types that the values of a sound row have, in the order of its columns."""
