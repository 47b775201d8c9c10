"""Share the output of running jobs with `cronq tail` on any host.

A runner writes it only while a follower asks for it. The request expires by itself, so a follower
that dies costs nothing for long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cronq.storage.drivers.database import Duplicate
from cronq.times import SECOND

if TYPE_CHECKING:
    from cronq.storage.tables import Tables

WINDOW = 32_768
"""Last bytes of each stream that are shared; what was written before is left out."""

_WANTED = 15.0
"""Seconds after which a follower's request expires."""


class Written(NamedTuple):
    """The output of a stream: the number of bytes, and the last of them."""

    size: int
    last: bytes


class Tail(NamedTuple):
    """What one attempt has written so far."""

    token: int | None
    """The token of the attempt's claim; None before its runner has seen the request."""
    stdout: Written
    stderr: Written


class LiveOutputRows:
    """The rows with followers' requests and jobs' output."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sql = tables.sql

    def follow(self, job_id: int) -> None:
        """Ask the job's runner to share its output; must be repeated every few seconds."""
        database, now = self._tables.open(), self._tables.clock.now()
        until = now + round(_WANTED * SECOND)
        if not database.execute(self._sql.live_output.want, (until, job_id, now)).rowcount:
            database.execute(self._sql.live_output.forget, (now,))
            try:
                database.execute(self._sql.live_output.first, (job_id, until))
            except Duplicate:  # another follower began at the same time
                return

    def write(self, job_id: int, tail: Tail) -> None:
        """Share what a job has written so far, if it is followed."""
        given = (tail.token, tail.stdout.size, tail.stderr.size, tail.stdout.last, tail.stderr.last, job_id)
        self._tables.open().execute(self._sql.live_output.show, given)

    def read(self, job_id: int) -> Tail | None:
        """Return the output that was shared last, None if there is none."""
        rows = self._tables.open().query(self._sql.live_output.see, (job_id,))
        if not rows or rows[0][0] is None:
            return None
        token, stdout_size, stderr_size, stdout, stderr = rows[0]
        return Tail(token, Written(stdout_size, bytes(stdout or b"")), Written(stderr_size, bytes(stderr or b"")))
