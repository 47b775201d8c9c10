"""What is left of an attempt whose child died in the middle of it: found, killed, waited for.

A process belongs to an attempt if it descends from the attempt's child, carries the child's mark
in its environment, or has inherited the lock that the child holds on its journal. A child that
has anything left running after a job ends before its next one and lets go of its lock, so what
a job leaves on purpose belongs to no attempt.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cronq.system import process_tree

if TYPE_CHECKING:
    from cronq.execution.journal import Journal

_LOOK_AGAIN = 0.005


def living(journal: Journal) -> set[int]:
    """The processes of the attempt that still live, as far as this user can see them."""
    found = process_tree.marked(journal.mark)
    if journal.child_lives:
        found |= {journal.process} | process_tree.descendants(journal.process)
    if journal.is_held:
        found |= process_tree.holders(journal.path)
    return found


def end(journal: Journal, *, patience: float) -> bool:
    """Kill what is left of the attempt; True when nothing lives any more, within so many seconds."""
    if not (journal.is_held or living(journal)):
        return True
    refused = process_tree.kill_all(lambda: living(journal))
    deadline = time.monotonic() + patience
    while journal.is_held or living(journal):
        if refused or time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_AGAIN)
    return True


def described(journal: Journal) -> str:
    """Names the processes that live on, for people."""
    # Of a set-uid program only the session can be seen; a number alone is no reason to kill.
    pids = living(journal) or process_tree.in_session(journal.process)
    found = ", ".join(map(process_tree.name_of, sorted(pids)))
    return f"process {found}" if found else "a process that this user can't see"
