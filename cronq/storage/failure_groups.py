"""Group failures of one kind by a fingerprint.

It is not stored but computed when failures are read: settling a job costs no more, and jobs of any age, settled by any
version of cronq, have one. 100,000 failures take about a second.
"""

from __future__ import annotations

import re
from binascii import crc32
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.times import iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cronq.storage.drivers.database import Row

_PARTICULAR = re.compile(
    r"""(?<!\w)'[^'\n]*'(?!\w) | (?<!\w)"[^"\n]*"(?!\w)"""  # quoted
    r"|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"  # a UUID
    r"|\b0x[0-9a-fA-F]+\b"
    r"|\b(?=[a-fA-F]*[0-9])[0-9a-fA-F]{6,}\b"  # a hash
    r"|[0-9]+(?:[.,:][0-9]+)*",
    re.VERBOSE,
)
_SPACES = re.compile(r"\s+")
_FINGERPRINT = re.compile(r"[0-9a-f]{8}")


class FailureGroup(NamedTuple):
    """The jobs whose last attempts failed for the same reason."""

    fingerprint: str
    task: str
    command: str
    """The beginning of one of the commands; empty for other tasks."""
    error_class: str
    message: str
    """The message of one of them."""
    jobs: int
    failed: int
    """The number of those that failed for good; the others are retried."""
    first_seen: int
    last_seen: int
    """Instants of their oldest and newest failure."""
    example: int
    """The id of the newest job."""

    def to_json(self) -> dict[str, Any]:
        """Return the group with its documented field names."""
        return {
            "fingerprint": self.fingerprint,
            "jobs": self.jobs,
            "failed": self.failed,
            "task": self.task,
            "error": {"class": self.error_class, "message": self.message},
            "first_seen_at": iso(self.first_seen),
            "last_seen_at": iso(self.last_seen),
            "example": self.example,
        }


def pattern_of(text: str) -> str:
    """Replace what varies in a text by `#`: numbers, hashes, quoted parts."""
    return _SPACES.sub(" ", _PARTICULAR.sub("#", text)).strip()


def fingerprint(task: str, subject: str | None, error_class: str, message: str | None) -> str:
    """Return eight hex digits that are the same for failures of one kind.

    `subject` is the beginning of a command's arguments, and distinguishes commands.
    """
    told = message or ""
    if error_class == "ExitStatus":  # only the number distinguishes these, so it is kept
        status, _, said = told.partition(":")
        return _hashed(task, error_class, status, pattern_of(said), pattern_of((subject or "").replace('"', " ")))
    return _hashed(task, error_class, pattern_of(told), pattern_of((subject or "").replace('"', " ")))


@lru_cache(maxsize=4096)
def _hashed(*parts: str) -> str:
    whole = "\0".join(parts).encode("utf-8", "replace")
    return f"{crc32(whole):08x}"


def _text(value: Any) -> Any:
    """Return the value; bytes, which a row written by hand may have in place of a text, are decoded."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def is_fingerprint(text: str) -> bool:
    """Tell whether the text has the form of a fingerprint; else it is the name of an error's class."""
    return _FINGERPRINT.fullmatch(text) is not None


def fits(row: Row, fingerprints: frozenset[str], errors: Sequence[str]) -> bool:
    """Tell whether a row of FAILURE_COLUMNS has one of these error classes or fingerprints."""
    return row[2] in errors or fingerprint(*map(_text, row[:4])) in fingerprints


def grouped(rows: Iterable[Row]) -> list[FailureGroup]:
    """Group the statement's rows by fingerprint, the largest group first."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        texts = tuple(map(_text, row[:4]))
        groups.setdefault(fingerprint(*texts), []).append((*texts, *row[4:]))
    alike = [_together(mark, members) for mark, members in groups.items()]
    return sorted(alike, key=lambda one: (-one.jobs, -one.last_seen, one.fingerprint))


def _together(mark: str, rows: Sequence[Row]) -> FailureGroup:
    task, subject, error_class, message, *_, example = max(rows, key=itemgetter(-1))
    jobs, failed = (int(sum(row[column] for row in rows)) for column in (4, 5))
    first, last = min(row[6] for row in rows), max(row[7] for row in rows)
    return FailureGroup(mark, task, _command(subject), error_class, message or "", jobs, failed, first, last, example)


def _command(subject: str | None) -> str:
    """Read the command from the beginning of a job's arguments, JSON that may be cut off."""
    if subject is None:
        return ""
    _, _, told = subject.partition(":")
    return told.strip(' "[]{}')
