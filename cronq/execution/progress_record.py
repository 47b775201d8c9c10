"""What a running job says about its progress: a record in the header of its child's journal.

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
"""The environment variable that tells a command which job it is, and where its record is."""


class Record(NamedTuple):
    """The progress of one attempt."""

    job_id: int
    token: int
    first_at: int
    """When it last began to count: the rate counts from there."""
    at: int
    first: float
    done: float
    total: float
    """NaN if it isn't known."""
    note: str

    @property
    def rate(self) -> float | None:
        """How much is done in a second; None if it isn't known."""
        seconds = (self.at - self.first_at) / 1e9
        return (self.done - self.first) / seconds if seconds > 0 and self.done > self.first else None


def packed(job: tuple[int, int], earlier: Record | None, said: tuple[object, object, object]) -> bytes:
    """Make the record of an attempt (job and token) that has said how much is done, of how much, and a note.

    Raises InvalidInput for numbers that are none, negative or endless.
    """
    done, total = _number(said[0], "done"), math.nan if said[1] is None else _number(said[1], "total")
    note = ("" if said[2] is None else str(said[2])).encode("utf-8", "replace")[:_NOTE]
    now = time.monotonic_ns()
    first_at, first = now, done
    if earlier is not None and earlier[:2] == job and earlier.done <= done:
        first_at, first = earlier.first_at, earlier.first
    body = _BODY.pack(*job, first_at, now, first, done, total, len(note)) + note
    return _SUM.pack(crc32(body)) + body


def parsed(raw: bytes) -> Record | None:
    """Read a record; None for none, and for one that is being written."""
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
