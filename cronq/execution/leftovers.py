"""Find and kill the processes of an attempt whose child died, and wait for their end.

A process belongs to an attempt if it descends from the attempt's child, carries the child's mark
in its environment, or has inherited the lock that the child holds on its journal. A child that
has processes left after a job ends before its next one and releases its lock, so processes that
a job leaves on purpose belong to no attempt.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from cronq.errors import ConfigError
from cronq.execution import journal
from cronq.model.job import State
from cronq.system import process_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.config.loader import Config
    from cronq.execution.journal_file import JournalFile
    from cronq.model.job import Job

_LOOK_AGAIN = 0.005


def living(book: JournalFile) -> set[int]:
    """Find the processes of the attempt that still live, as far as this user can see them."""
    found = process_tree.marked(book.mark)
    if book.child_lives:
        found |= {book.process} | process_tree.descendants(book.process)
    if book.is_held:
        # Of a set-uid program only its session can be seen.
        found |= process_tree.holders(book.path) | process_tree.hidden_in(book.process)
    return found


def end(book: JournalFile, *, patience: float) -> bool:
    """Kill the attempt's processes; returns whether all have ended within `patience` seconds."""
    if not (book.is_held or living(book)):
        return True
    refused = process_tree.kill_all(lambda: living(book))
    deadline = time.monotonic() + patience
    while book.is_held or living(book):
        if refused or time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_AGAIN)
    return True


def described(book: JournalFile) -> str:
    """Name the processes that still live."""
    pids = living(book) - {book.process}
    found = ", ".join(map(process_tree.name_of, sorted(pids)))
    return f"process {found}" if found else "a process that this user can't see"


def with_its_process(config: Config, job: Job) -> Job:
    """Return the job with its own process if it runs on this host, else with none.

    The row has the runner's process, which is the same for all of its jobs.
    """
    if job.state != State.RUNNING:
        return job
    with _journals(config, job) as books:
        return job._replace(pid=next((book.command or book.process for book in books), None))


def outliving(config: Config, job: Job) -> str | None:
    """Name the living processes of a running job whose child is dead; None if there are none on this host."""
    if job.state != State.RUNNING:
        return None
    with _journals(config, job) as books:
        dead = (book for book in books if not book.child_lives)
        return next((described(book) for book in dead if book.is_held or living(book)), None)


@contextmanager
def _journals(config: Config, job: Job) -> Iterator[list[JournalFile]]:
    """Find the journals of children that began the job last; none for a runner of another host or user."""
    books: list[JournalFile] = []
    if job.worker is not None and job.host == os.uname().nodename:
        with suppress(OSError, ConfigError):
            books = list(journal.left_by(config, job.worker))
    try:
        yield [book for book in books if book.current()[0] == job.id]
    finally:
        for book in books:
            book.close()
