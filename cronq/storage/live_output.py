"""What running jobs have printed so far, for those who follow them from any host.

A runner writes it down only while somebody asks: nobody pays for what nobody watches. What
is asked for is forgotten by itself, so a follower that dies costs nothing for long either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cronq.storage.drivers.database import Duplicate
from cronq.times import SECOND

if TYPE_CHECKING:
    from cronq.storage.tables import Tables

WINDOW = 32_768
"""Bytes of each stream that a follower is shown at a time; what was written before them is left out."""

_WANTED = 15.0
"""Seconds for which a follower's interest is remembered."""


class Written(NamedTuple):
    """What was written to a stream: so many bytes in all, and the last of them."""

    size: int
    last: bytes


class Tail(NamedTuple):
    """What one attempt has written so far."""

    token: int | None
    """Of the attempt's claim; None before its runner has noticed that somebody follows."""
    stdout: Written
    stderr: Written


class LiveOutputRows:
    """The rows through which followers and runners meet."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sql = tables.sql

    def follow(self, job_id: int) -> None:
        """Ask whoever runs the job to show what it prints; to be repeated every few seconds."""
        database, now = self._tables.open(), self._tables.clock.now()
        until = now + round(_WANTED * SECOND)
        if not database.execute(self._sql.live_output.want, (until, job_id, now)).rowcount:
            database.execute(self._sql.live_output.forget, (now,))
            try:
                database.execute(self._sql.live_output.first, (job_id, until))
            except Duplicate:  # somebody else began to follow it in this moment
                return

    def write(self, job_id: int, tail: Tail) -> None:
        """Write down what a job has printed so far, if somebody follows it."""
        given = (tail.token, tail.stdout.size, tail.stderr.size, tail.stdout.last, tail.stderr.last, job_id)
        self._tables.open().execute(self._sql.live_output.show, given)

    def read(self, job_id: int) -> Tail | None:
        """What was shown last; None if nothing was."""
        rows = self._tables.open().query(self._sql.live_output.see, (job_id,))
        if not rows or rows[0][0] is None:
            return None
        token, stdout_size, stderr_size, stdout, stderr = rows[0]
        return Tail(token, Written(stdout_size, bytes(stdout or b"")), Written(stderr_size, bytes(stderr or b"")))
