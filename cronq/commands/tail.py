"""`cronq tail`: print the output of a running job."""

from __future__ import annotations

import codecs
import re
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.commands import options as given
from cronq.commands.show import require
from cronq.errors import InvalidInput
from cronq.model.job import ENDED, State

if TYPE_CHECKING:
    from typing import TextIO

    from cronq.commands import Invocation
    from cronq.model.job import Job
    from cronq.storage.live_output import Written
    from cronq.store import Store

_EXAMPLE = """\
Example:

\b
  cronq tail 42
  cronq tail 42 --lines 100

Exit status: 0 the attempt has ended, however it did, 1 no such job, 65 bad input,
69 database out of reach, 78 configuration.
"""

_LOOK = 0.3
_REMIND = 5.0
"""Seconds between two requests for live output; `_LOOK` is between two queries."""

_GAP = re.compile(r"\n\[… ([0-9]{1,15}) bytes left out …\]\n")
"""The line in place of output that isn't stored. A job can write such a line itself, with any number in it."""

Lines = Annotated[str, typer.Option("--lines", metavar="N", help="Begin with the last N lines of each stream.")]


def _tail(context: typer.Context, id_: given.JobId, *, lines: Lines = "10") -> None:
    """Print the output of a running job until its attempt ends.

    A job that has not begun is waited for; of one that has ended the last lines are printed.
    """
    number = _number(lines)
    call = given.invocation(context)
    with call.store(reading=True) as store:
        job = require(store, id_)
        following = _Following(number)
        if job.state not in ENDED:
            job = _follow(call, store, job, following)
        following.end(store.jobs.output(job.id))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):  # noqa: PLR2004
        raise InvalidInput(f"--lines: {text!r} is not a whole number")
    return int(text)


def _follow(call: Invocation, store: Store, job: Job, following: _Following) -> Job:
    """Print output until the running attempt, or the next one, has ended."""
    from cronq.render.text import complain

    if job.state != State.RUNNING and not call.quiet:
        complain(f"job {job.id} is {job.state}; waiting for it to begin")
    reminded, attempt, began = 0.0, job.attempt, job.state == State.RUNNING
    asks = _may_ask(call)
    while not began or job.state == State.RUNNING:
        if asks and time.monotonic() >= reminded:
            store.live_output.follow(job.id)
            reminded = time.monotonic() + _REMIND
        following.look(store, job.id)
        time.sleep(_LOOK)
        job = require(store, str(job.id))
        began = began or job.state == State.RUNNING or job.state in ENDED or job.attempt != attempt
    return job


def _may_ask(call: Invocation) -> bool:
    """Tell whether this user can request live output, which needs a row in the database."""
    from cronq.render.text import complain
    from cronq.storage.drivers.opening import may_write

    path = call.config.database_file()
    allowed = path is None or may_write(path)
    if not allowed and not call.quiet:
        complain("you may only read this queue: the output is printed when the attempt has ended")
    return allowed


class _Following:
    """The two streams of a job, and how far each has been printed."""

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._token: int | None = None
        self._begin()

    def _begin(self) -> None:
        self._streams = (_Stream(sys.stdout, self._lines), _Stream(sys.stderr, self._lines))

    def look(self, store: Store, job_id: int) -> None:
        """Read the live output, and print what has not been printed yet."""
        tail = store.live_output.read(job_id)
        if tail is None:
            return
        if tail.token != self._token:  # another attempt
            self._token = tail.token
            self._begin()
        for stream, written in zip(self._streams, (tail.stdout, tail.stderr), strict=True):
            stream.go_on(written)

    def end(self, output: tuple[str | None, str | None]) -> None:
        """Print the rest of the attempt's stored output."""
        for stream, text in zip(self._streams, output, strict=True):
            stream.end(text or "")


class _Stream:
    """One stream of a job, and how many of its bytes have been printed."""

    def __init__(self, out: TextIO, lines: int) -> None:
        self._out = out
        self._lines = lines
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def go_on(self, written: Written) -> None:
        """Print the bytes that have not been printed yet."""
        new = written.size - self._offset
        if new > 0:
            self._print(written.last[-new:], gap=max(0, new - len(written.last)))
            self._offset = written.size

    def end(self, text: str) -> None:
        """Print the rest of the stored text, which has only the beginning and the end of a long stream."""
        head, *rest = _GAP.split(text)
        last = rest[-1].encode() if rest else head.encode()
        size = len(last) + (len(head.encode()) + int(rest[0]) if rest else 0)
        new = size - self._offset
        if new > 0:
            self._print(last[-new:], gap=max(0, new - len(last)))

    def _print(self, data: bytes, *, gap: int) -> None:
        from cronq.model.printable import safe

        text = self._decoder.decode(data)
        if self._offset == 0:
            text = "".join(text.splitlines(keepends=True)[-self._lines :]) if self._lines else ""
        elif gap:
            text = f"\n[… {gap} bytes left out …]\n{text}"
        self._out.write(safe(text) if self._out.isatty() else text)
        self._out.flush()


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("tail", epilog=_EXAMPLE)(_tail)
