"""Shorten an outcome that the database refuses until it is accepted; the state is kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cronq.model.job import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.model.outcome import Outcome, Settlement

_KIND = 200
_PATH = 250
_SHORT = 1_000
"""The greatest lengths in characters of an error's class name, its import path, and each text that is shortened."""


def reductions(settlement: Settlement, why: object) -> Iterator[Settlement]:
    """Yield the settlement with its texts in ASCII, then shortened, then with only its state."""
    outcome = settlement.outcome
    escaped = _escaped(outcome)
    yield _changed(settlement, _warned(escaped, f"the database refused what the attempt left: {why}; it is escaped"))
    left_out = f"the database refused what the attempt left: {why}; most of it is left out"
    yield _changed(settlement, _warned(_shortened(escaped), left_out))
    yield _changed(settlement, _warned(_bare(outcome), "the database refused what the attempt left"))


def _changed(settlement: Settlement, outcome: Outcome) -> Settlement:
    """Return the settlement with this outcome; the job's error is shortened likewise."""
    error = settlement.next.error
    if error is not None and outcome.error is not None:
        error = error if error != settlement.outcome.error else outcome.error
        error = Failure(_ascii(error.kind)[:_KIND], _ascii(error.message))
    return settlement._replace(outcome=outcome, next=settlement.next._replace(error=error))


def _warned(outcome: Outcome, said: str) -> Outcome:
    kind = "warning" if outcome.kind == "success" else outcome.kind
    return outcome._replace(kind=kind, warnings=(*outcome.warnings, _ascii(said)[:_SHORT]))


def _escaped(outcome: Outcome) -> Outcome:
    return outcome._replace(
        error=outcome.error and _escaped_error(outcome.error),
        result=_as_ascii_json(outcome.result),
        warnings=tuple(map(_ascii, outcome.warnings)),
        stdout=_optional(outcome.stdout),
        stderr=_optional(outcome.stderr),
    )


def _escaped_error(error: Failure) -> Failure:
    path = error.path and _ascii(error.path)[:_PATH]
    return Failure(_ascii(error.kind)[:_KIND], _ascii(error.message), _optional(error.traceback), path)


def _shortened(outcome: Outcome) -> Outcome:
    error = outcome.error
    return outcome._replace(
        error=error
        and Failure(error.kind, error.message[:_SHORT], error.traceback and error.traceback[-_SHORT:], error.path),
        result=outcome.result if len(outcome.result or "") <= _SHORT else None,
        notes=outcome.notes if len(json.dumps(outcome.notes)) <= _SHORT else None,
        warnings=tuple(text[:_SHORT] for text in outcome.warnings[:3]),
        stdout=outcome.stdout and outcome.stdout[-_SHORT:],
        stderr=outcome.stderr and outcome.stderr[-_SHORT:],
    )


def _bare(outcome: Outcome) -> Outcome:
    error = outcome.error and Failure("Refused", "the database refused the error's text")
    return outcome._replace(
        error=error, exit_status=None, signal=None, result=None, warnings=(), notes=None, stdout=None, stderr=None,
        peak_memory=None, memory_before=None, cpu_time=None, pid=None,
    )  # fmt: skip


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode().replace("\0", "\\x00")


def _optional(text: str | None) -> str | None:
    return None if text is None else _ascii(text)


def _as_ascii_json(text: str | None) -> str | None:
    try:
        return None if text is None else json.dumps(json.loads(text))
    except (ValueError, RecursionError):
        return None
