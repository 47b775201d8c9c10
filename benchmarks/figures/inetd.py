"""Measure connections to `cronq serve-inetd` under a real xinetd: until the answer, and until the job starts."""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.contest import place_for
from benchmarks.peer import script
from benchmarks.peers import cronq_sqlite
from benchmarks.result import Figure, Must
from benchmarks.xinetd import Service, xinetd_for

OURS = "cronq_sqlite"
A_ROUND = 20
REFERENCE = "python3 -c 'import sqlite3'"
REFERENCE_PROGRAM = f"""\
#!{sys.executable}
import sqlite3
print("OK", flush=True)
"""
"""Started by its first line, as the command is: with the name that xinetd passes, Python would not find its prefix."""

CONFIG = """\
database = "sqlite:///cronq.db"
lock_dir = "locks"
"""
SECONDS = 20
PAUSE = 0.15
"""Seconds after which a process that ran one job has ended, so that the next measurement is without it."""


def run(*, rounds: int) -> list[Figure]:
    """Measure one process for each connection beside Python with sqlite3, and the listening socket alone."""
    with place_for(OURS) as place, _starts(place) as started:
        reference = place / "reference"
        reference.write_text(REFERENCE_PROGRAM)
        reference.chmod(0o755)
        (place / "commands.toml").write_text(CONFIG)
        queue = cronq_sqlite.Queue(place)
        queue.open()
        each = [script("cronq"), "--config", str(place / "commands.toml"), "serve-inetd"]
        many = [script("cronq"), "--config", str(place / "cronq.toml"), "serve-inetd"]
        services = [Service([str(reference)]), Service(each), Service(many, waits=True)]
        with xinetd_for(place, services) as (plain, one, warm):
            return _measured(_Measurer(queue, started), (plain, one, warm), rounds * A_ROUND)


class _Measurer:
    def __init__(self, queue: cronq_sqlite.Queue, started: Callable[[], float]) -> None:
        self._queue = queue
        self._started = started

    def answer(self, port: int, job_id: int = 0) -> float:
        """Return the milliseconds from connecting to the answer."""
        began = time.monotonic()
        _ask(port, job_id)
        return (time.monotonic() - began) * 1000

    def command(self, port: int) -> tuple[float, float]:
        """Return the milliseconds to the answer and to the start of a shell command."""
        job_id = self._queue.put_command(f"echo >{self._queue.place}/start")
        return self._start(port, job_id)

    def task(self, port: int) -> tuple[float, float]:
        """Return the milliseconds to the answer and to the start of a task."""
        job_id = self._queue.put_marked(f"{self._queue.place}/start")
        return self._start(port, job_id)

    def _start(self, port: int, job_id: int) -> tuple[float, float]:
        began = time.monotonic()
        _ask(port, job_id)
        answered = time.monotonic()
        return (answered - began) * 1000, (self._started() - began) * 1000


def _measured(measurer: _Measurer, ports: tuple[int, int, int], count: int) -> list[Figure]:
    plain, one, warm = ports
    measurer.task(warm)  # xinetd starts the server for this one
    reference: list[float] = []
    cold: list[tuple[float, float]] = []
    quick: list[tuple[float, float]] = []
    for _ in range(count):
        # A pause before each, so that all begin on an idle machine.
        time.sleep(PAUSE)
        reference.append(measurer.answer(plain))
        time.sleep(PAUSE)
        cold.append(measurer.command(one))
        time.sleep(PAUSE)
        quick.append(measurer.task(warm))
    answers, starts = zip(*cold, strict=True)
    listening = [start for _, start in quick]
    beside = REFERENCE, reference
    return [
        Figure("inetd", "connect to answer, one process a connection", "ms", answers, *beside, Must(at_most=2)),
        Figure("inetd", "connect to start of a shell command, the same", "ms", starts, *beside, Must(at_most=3)),
        Figure("inetd", "connect to start, listening socket", "ms", listening, "", (), Must(at_most=3)),
    ]


def _ask(port: int, job_id: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as caller:
        caller.sendall(b"%d\n" % job_id)
        said = caller.recv(64)
    assert said.startswith(b"OK"), said


@contextmanager
def _starts(place: Path) -> Iterator[Callable[[], float]]:
    """Make the pipe `start`; yield a function that waits for a job to write to it, and returns the monotonic time."""
    os.mkfifo(place / "start")
    fifo = os.open(place / "start", os.O_RDWR | os.O_NONBLOCK)

    def started() -> float:
        readable, _, _ = select.select([fifo], [], [], SECONDS)
        now = time.monotonic()
        assert readable, "the job did not start"
        os.read(fifo, 4096)
        return now

    try:
        yield started
    finally:
        os.close(fifo)
