"""Encode and decode the progress of a running job: a record in the header of its child's journal.

The child writes it into mapped memory, a command's `cronq progress` into the file. Both may write at the same time, so
a reader checks the sum. Times are monotonic nanoseconds.
"""

from __future__ import annotations

import math
import struct
import time
from binascii import crc32
from typing import NamedTuple

from cronq.errors import InvalidInput

PROGRESS_AT = 72
"""Offset in the journal."""

_SUM = struct.Struct("<I")
_BODY = struct.Struct("<qqqqdddH")
_NOTE = 300
"""Bytes of a note; what is longer is cut."""

SIZE = _SUM.size + _BODY.size + _NOTE

VARIABLE = "CRONQ_PROGRESS"
"""The environment variable that gives a command its job's id, its claim's token and the path of the journal."""


class Record(NamedTuple):
    """The progress of one attempt."""

    job_id: int
    token: int
    first_at: int
    """The time from which the rate counts: `at` of the first record, or just before the last fall of `done`."""
    at: int
    first: float
    done: float
    total: float
    """NaN if it isn't known."""
    note: str

    @property
    def rate(self) -> float | None:
        """The amount done in a second; None if it isn't known."""
        seconds = (self.at - self.first_at) / 1e9
        return (self.done - self.first) / seconds if seconds > 0 and self.done > self.first else None


def packed(job: tuple[int, int], earlier: Record | None, said: tuple[object, object, object]) -> bytes:
    """Encode the record of an attempt (job and token); `said` is how much is done, the total, and a note.

    Raises InvalidInput unless the numbers are finite and at least 0.
    """
    done, total = _number(said[0], "done"), math.nan if said[1] is None else _number(said[1], "total")
    note = ("" if said[2] is None else str(said[2])).encode("utf-8", "replace")[:_NOTE]
    now = time.monotonic_ns()
    first_at, first = now, done
    if earlier is not None and earlier[:2] == job:
        # Not `now` after a fall: only in the first record `done` counts from the start of the attempt.
        first_at, first = (earlier.first_at, earlier.first) if earlier.done <= done else (now - 1, done)
    body = _BODY.pack(*job, first_at, now, first, done, total, len(note)) + note
    return _SUM.pack(crc32(body)) + body


def parsed(raw: bytes) -> Record | None:
    """Decode a record; None if there is none, or if it is being written."""
    if len(raw) < _SUM.size + _BODY.size:
        return None
    *fields, length = _BODY.unpack_from(raw, _SUM.size)
    body = raw[_SUM.size : _SUM.size + _BODY.size + length]
    if not fields[0] or _SUM.unpack_from(raw)[0] != crc32(body):
        return None
    return Record._make((*fields, body[_BODY.size :].decode("utf-8", "ignore")))


def _number(value: object, what: str) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise InvalidInput(f"progress: {what}: expected a number of at least 0: got {value!r}")
    return number
