"""Define the runner's handle of one child process: its assigned jobs, journal, output and pipes."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Self

from cronq.execution import child as child_side
from cronq.execution.journal import Journal
from cronq.execution.output_capture import Capture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.execution.journal_file import Entry
    from cronq.model.claimed_job import Claimed
    from cronq.model.outcome import Outcome


class Ended(NamedTuple):
    """An attempt that ended, with its outcome."""

    job: Claimed
    outcome: Outcome


class ChildHandle:
    """One child with the jobs assigned to it, in order."""

    def __init__(
        self,
        journal: Journal,
        captures: tuple[Capture, Capture],
        *,
        permits: tuple[int, int],
        messages: tuple[int, int],
    ) -> None:
        self.journal = journal
        self.captures = captures
        self.permits = permits
        self.messages = messages
        self.pid = 0
        self.assigned: deque[Claimed] = deque()
        self.generation = 0
        self.done = 0
        self.memory = 0
        self.warned = False
        self.doom: Outcome | None = None
        self.end_requested: float | None = None
        """The monotonic time of the `tell_to_end` for the running job; None if there was none."""
        self.must_end = 0.0
        """The monotonic time at which the pool kills this child, once its pipes are closed, if it still runs."""
        self.unkillable = False
        """Whether this user may not kill a process that the running job has started."""
        self._pipes = [*permits, *messages]
        self._unsent = memoryview(b"")

    @classmethod
    def open(cls, path: str) -> Self:
        """Open what a child and the runner share: a journal at this path, captures and pipes."""
        journal, captures = Journal.create(path), (Capture("stdout"), Capture("stderr"))
        permits, messages = os.pipe(), os.pipe()
        # Shared with the child: its reads of permits don't block either, so it polls.
        for fd in (permits[0], messages[1]):
            os.set_blocking(fd, False)
        return cls(journal, captures, permits=permits, messages=messages)

    @property
    def running(self) -> tuple[Claimed, float] | None:
        """The running job, and for how many seconds it has been running; None if none is."""
        if not self.assigned:
            return None
        job_id, token, begun = self.journal.current()
        job = self.assigned[0]
        if (job_id, token) != (job.id, job.token):
            return None
        return job, (time.monotonic_ns() - begun) / 1e9

    @property
    def busy_for(self) -> float:
        """Seconds that the running job has been running; 0 if none is."""
        running = self.running
        return running[1] if running else 0.0

    def give(self, jobs: Sequence[Claimed]) -> None:
        """Assign jobs, to be run in this order."""
        self.assigned.extend(jobs)
        self._unsent = memoryview(bytes(self._unsent) + child_side.packed(jobs, self.generation))
        self.push()
        os.write(self.permits[1], bytes((self.generation,)) * len(jobs))

    def push(self) -> None:
        """Send the rest of messages that did not fit into the pipe, as far as it fits now."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            while self._unsent:
                self._unsent = self._unsent[os.write(self.messages[1], self._unsent) :]

    @property
    def unsent(self) -> bool:
        """Whether part of a message waits for room in the pipe."""
        return bool(self._unsent)

    def take_back(self) -> list[Claimed]:
        """Take back and return the assigned jobs that were not started."""
        with contextlib.suppress(BlockingIOError):
            count = len(os.read(self.permits[0], 65_536))
            self.generation = (self.generation + 1) % child_side.GENERATIONS
            return [self.assigned.pop() for _ in range(count)][::-1]
        return []

    def collect(self) -> list[Ended]:
        """Read from the journal the attempts that ended since the last call; their jobs are no longer assigned."""
        entries = self.journal.ended(self.pid)
        if entries:
            self.done += len(entries)
            self.warned = False
            self.doom = self.end_requested = None
            self.memory = entries[-1].outcome.memory_before or 0
        return [Ended(self.assigned.popleft(), entry.outcome) for entry in entries if self._is_next(entry)]

    def _is_next(self, entry: Entry) -> bool:
        """Tell whether the entry is of the first assigned job: a process forked by a task may write others."""
        return bool(self.assigned) and (self.assigned[0].id, self.assigned[0].token) == (entry.job_id, entry.token)

    def tell_to_end(self, job: Claimed) -> None:
        """Send SIGTERM to end this running job; the child reads in the journal which attempt is meant."""
        self.end_requested = time.monotonic()
        self.journal.tell_to_end(job)
        os.kill(self.pid, signal.SIGTERM)

    def tell_why(self) -> None:
        """Log why the child ended between two jobs."""
        from cronq.system.log import log  # serve-inetd starts a job before it imports logging

        log.log(30 if self.journal.full else 20, "a child process is replaced: %s", self.last_line_printed)

    @property
    def last_line_printed(self) -> str:
        """The last line on the child's stderr; empty if there is none."""
        return ((self.captures[1].text() or "").strip().splitlines() or [""])[-1]

    def close(self) -> None:
        """Close the pipes and captures of this child."""
        self.stop()
        for capture in self.captures:
            capture.close()

    def stop(self) -> None:
        """Close the pipes to this child: without permits it ends as soon as it is idle."""
        while self._pipes:
            os.close(self._pipes.pop())
