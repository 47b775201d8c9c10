"""Share the output of running jobs with `cronq tail` on any host.

A runner writes it only while a follower requests it. A request expires, so after the death of a follower the
runner soon stops writing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cronq.storage.drivers.database import Duplicate
from cronq.times import SECOND

if TYPE_CHECKING:
    from cronq.storage.tables import Tables

WINDOW = 32_768
"""The number of last bytes of each stream that are shared; earlier ones are left out."""

_WANTED = 15.0
"""Seconds after which a follower's request expires."""


class Written(NamedTuple):
    """The output of one stream: the number of bytes written so far, and the last of them."""

    size: int
    last: bytes


class Tail(NamedTuple):
    """The output of one attempt so far."""

    token: int | None
    """The token of the attempt's claim; None before its runner has seen the request."""
    stdout: Written
    stderr: Written


class LiveOutputRows:
    """Reads and writes the requests of followers and the output of running jobs."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sql = tables.sql

    def follow(self, job_id: int) -> None:
        """Request that the job's runner shares its output; expires after _WANTED seconds, so it must be repeated."""
        database, now = self._tables.open(), self._tables.clock.now()
        until = now + round(_WANTED * SECOND)
        if not database.execute(self._sql.live_output.want, (until, job_id, now)).rowcount:
            database.execute(self._sql.live_output.forget, (now,))
            try:
                database.execute(self._sql.live_output.first, (job_id, until))
            except Duplicate:  # another follower began at the same time
                return

    def write(self, job_id: int, tail: Tail) -> None:
        """Share the output of a job so far; does nothing if the job isn't followed."""
        given = (tail.token, tail.stdout.size, tail.stderr.size, tail.stdout.last, tail.stderr.last, job_id)
        self._tables.open().execute(self._sql.live_output.show, given)

    def read(self, job_id: int) -> Tail | None:
        """Return the output that was shared last, None if there is none."""
        rows = self._tables.open().query(self._sql.live_output.see, (job_id,))
        if not rows or rows[0][0] is None:
            return None
        token, stdout_size, stderr_size, stdout, stderr = rows[0]
        return Tail(token, Written(stdout_size, bytes(stdout or b"")), Written(stderr_size, bytes(stderr or b"")))
