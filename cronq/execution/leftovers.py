"""Find and kill the processes of an attempt whose child died, and wait for their end.

A process belongs to an attempt if it descends from the attempt's child, carries the child's mark
in its environment, or has inherited the lock that the child holds on its journal. A child that
has processes left after a job ends before its next one and releases its lock, so processes that
a job leaves on purpose belong to no attempt.
"""

from __future__ import annotations

import os
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from cronq.errors import ConfigError
from cronq.execution.journal import journals_of
from cronq.model.claimed_job import State
from cronq.system import process_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cronq.config.loader import Config
    from cronq.execution.journal_file import JournalFile
    from cronq.model.job import Job

_LOOK_AGAIN = 0.005


def living(journal: JournalFile) -> set[int]:
    """Find the processes of the attempt that still live, as far as this user can see them."""
    found = process_tree.marked(journal.mark)
    if journal.child_lives:
        found |= {journal.process} | process_tree.descendants(journal.process)
    if journal.is_held:
        # Of a set-uid program only its session can be seen.
        found |= process_tree.holders(journal.path) | process_tree.hidden_in(journal.process)
    return found


def end(journal: JournalFile, *, patience: float) -> bool:
    """Kill the attempt's processes; returns whether all have ended within `patience` seconds."""
    if not (journal.is_held or living(journal)):
        return True
    refused = process_tree.kill_all(lambda: living(journal))
    deadline = time.monotonic() + patience
    while journal.is_held or living(journal):
        if refused or time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_AGAIN)
    return True


def described(journal: JournalFile) -> str:
    """Describe the attempt's processes that still live, for a message."""
    pids = living(journal) - {journal.process}
    found = ", ".join(map(process_tree.name_of, sorted(pids)))
    return f"process {found}" if found else "a process that this user can't see"


def with_its_process(config: Config, job: Job) -> Job:
    """Return a running job with the pid of its own process, None if that isn't on this host; others unchanged.

    The row has the runner's pid, which is the same for all of its jobs.
    """
    if job.state != State.RUNNING:
        return job
    with _journals(config, job) as journals:
        return job._replace(pid=next((journal.command or journal.process for journal in journals), None))


def outliving(config: Config, job: Job) -> str | None:
    """Describe the living processes of a running job whose child is dead; None if there are none on this host."""
    if job.state != State.RUNNING:
        return None
    with _journals(config, job) as journals:
        dead = (journal for journal in journals if not journal.child_lives)
        return next((described(journal) for journal in dead if journal.is_held or living(journal)), None)


def refusing(config: Config, workers: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Find jobs of dead children with processes that this user may not kill; yields the id and describes them."""
    for worker in workers:
        with suppress(OSError, ConfigError):
            for journal in journals_of(config, worker):
                with closing(journal):
                    if not journal.child_lives and _refuses(journal):
                        yield journal.current()[0], described(journal)


def _refuses(journal: JournalFile) -> bool:
    """Tell whether a process may not be killed by this user, or can't even be seen."""
    found = living(journal)
    return not all(map(process_tree.may_be_killed, found)) if found else journal.is_held


@contextmanager
def _journals(config: Config, job: Job) -> Iterator[list[JournalFile]]:
    """Open the journals of the children whose last job is this one; none for a runner of another host or user."""
    journals: list[JournalFile] = []
    if job.worker is not None and job.host == os.uname().nodename:
        with suppress(OSError, ConfigError):
            journals = list(journals_of(config, job.worker))
    try:
        yield [journal for journal in journals if journal.current()[0] == job.id]
    finally:
        for journal in journals:
            journal.close()
