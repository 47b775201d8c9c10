"""What is left of an attempt whose child died in the middle of it: found, killed, waited for.

A process belongs to an attempt if it descends from the attempt's child, carries the child's mark
in its environment, or has inherited the lock that the child holds on its journal. A child that
has anything left running after a job ends before its next one and lets go of its lock, so what
a job leaves on purpose belongs to no attempt.
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
    """The processes of the attempt that still live, as far as this user can see them."""
    found = process_tree.marked(book.mark)
    if book.child_lives:
        found |= {book.process} | process_tree.descendants(book.process)
    if book.is_held:
        # Of a set-uid program only its session can be seen.
        found |= process_tree.holders(book.path) | process_tree.hidden_in(book.process)
    return found


def end(book: JournalFile, *, patience: float) -> bool:
    """Kill what is left of the attempt; True when nothing lives any more, within so many seconds."""
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
    """Names the processes that live on, for people."""
    pids = living(book) - {book.process}
    found = ", ".join(map(process_tree.name_of, sorted(pids)))
    return f"process {found}" if found else "a process that this user can't see"


def with_its_process(config: Config, job: Job) -> Job:
    """The job with the process that it runs in, where it runs on this host; else with none.

    The row has the runner's process, which is the same for all of its jobs.
    """
    if job.state != State.RUNNING:
        return job
    with _journals(config, job) as books:
        return job._replace(pid=next((book.command or book.process for book in books), None))


def outliving(config: Config, job: Job) -> str | None:
    """Names what still lives of a running job whose own process is dead; None if nothing does on this host."""
    if job.state != State.RUNNING:
        return None
    with _journals(config, job) as books:
        dead = (book for book in books if not book.child_lives)
        return next((described(book) for book in dead if book.is_held or living(book)), None)


@contextmanager
def _journals(config: Config, job: Job) -> Iterator[list[JournalFile]]:
    """The journals of children that began the job last; none if its runner isn't on this host, or another user's."""
    books: list[JournalFile] = []
    if job.worker is not None and job.host == os.uname().nodename:
        with suppress(OSError, ConfigError):
            books = list(journal.left_by(config, job.worker))
    try:
        yield [book for book in books if book.current()[0] == job.id]
    finally:
        for book in books:
            book.close()
