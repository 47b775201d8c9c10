"""Manage child processes in the runner: fork them, assign jobs, enforce time limits, reap.

Children are forked from the warm runner while it has no database connection open. A child writes
outcomes to its journal, and a byte to the wake-up pipe when there is something to read.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time
from typing import TYPE_CHECKING

from cronq.errors import CronqError, Unavailable
from cronq.execution import child as child_side
from cronq.execution.child_handle import ChildHandle, Ended
from cronq.execution.executor import Executor
from cronq.execution.journal import path_for
from cronq.model.claimed_job import Failure
from cronq.model.outcome import Outcome
from cronq.model.retry import Policies
from cronq.system import process_tree
from cronq.system.descriptors import out_of_the_way
from cronq.system.prctl import die_with_parent
from cronq.system.process import has_exited, kill_group, signal_name, wait_for, wait_until_stopped
from cronq.times import SECOND, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from resource import struct_rusage

    from cronq.config.loader import Config
    from cronq.execution.process_state import ProcessState
    from cronq.model.claimed_job import Claimed
    from cronq.tasks.registry import Registry
    from cronq.times import Clock

STUCK = 0.1
"""Seconds that a job may run before the jobs after it are taken back from the same child."""

TICK = 0.05
"""Seconds between two checks of time limits, and of journals without a wake-up."""

_STILLBORN = 20
"""The number of children in a row that die before they began a job, at which the pool gives up."""

_JOURNAL_FULL = 8 << 20
_SMALL = 8
"""A journal longer than its limit divided by this is emptied when its child has no jobs."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_DYING = 0.1
"""Seconds to wait for killed processes before other children are served."""


class Pool:
    """The children of one runner."""

    def __init__(
        self,
        size: int,
        config: Config,
        registry: Registry,
        *,
        clock: Clock,
        worker: str,
        state: ProcessState | None = None,
    ) -> None:
        """`state` replaces the process state that children restore after each job."""
        if state is None:
            from cronq.execution.process_state import ProcessState  # here, not above: commands start without it

            state = ProcessState()
        self.size = size
        self.before_fork: Callable[[], None] = _nothing
        """Called before a fork to close what a child must not inherit."""
        self.policies = Policies(config, registry)
        self._config = config
        self._registry = registry
        self._clock = clock
        self._worker = worker
        self._numbers = iter(range(1, 1 << 30))
        self._wakeup_pipe: tuple[int, ...] = ()
        self._looked = 0.0
        self._full = _JOURNAL_FULL
        self._stillborn = 0
        self._state = state
        self._ending: list[ChildHandle] = []
        self.children: list[ChildHandle] = []
        self.retired: list[ChildHandle] = []

    def fill(self) -> None:
        """Fork as many children as are missing."""
        if len(self.children) < self.size:
            self.before_fork()
            if not self._wakeup_pipe:
                self._open()
            while len(self.children) < self.size and (child := self._fork()):
                self.children.append(child)

    def _open(self) -> None:
        """Before the first fork: open the pipe by which children wake the runner, and watch the process state."""
        self._wakeup_pipe = os.pipe()
        for fd in self._wakeup_pipe:
            os.set_blocking(fd, False)
        self._state.watch()

    def _fork(self) -> ChildHandle | None:
        """Fork a child; returns None while there is no room for its journal but other children may free some.

        Raises Unavailable if there are no other children.
        """
        try:
            child = ChildHandle.open(path_for(self._config, self._worker, next(self._numbers)))
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            if self.children or self.retired:
                return None
            why = f"{self._config.lock_dir}: {error.strerror}: no room for the journals of jobs"
            raise Unavailable(f"{why}; make some, or set lock_dir to a directory that has it") from None
        self._state.read_before_fork()
        runner = os.getpid()
        pid = os.fork()
        if pid == 0:
            die_with_parent()
            if os.getppid() != runner:
                os._exit(0)
            child_side.become(child.captures, child.journal, lambda: self._serve(child))
        child.pid = pid
        child.journal.name_process(pid)
        return child

    def _serve(self, child: ChildHandle) -> None:
        """In the child: close the other children's files and run jobs."""
        for other in self.children:
            other.close()
            other.journal.close()
        os.close(child.permits[1])
        os.close(child.messages[1])
        os.close(self._wakeup_pipe[0])
        self._registry.worker = self._worker
        executor = Executor(self._registry, self._config, self._clock, journal=child.journal)
        pipes = child_side.Pipes(*map(out_of_the_way, (child.permits[0], child.messages[0], self._wakeup_pipe[1])))
        grace = self._config.grace
        child_side.Child(
            pipes, child.journal, child.captures, executor=executor, state=self._state, grace=grace
        ).serve()

    def close_inherited(self) -> None:
        """In a forked process that is no child: close the pipes of the children."""
        for child in self.children:
            child.close()
        for fd in self._wakeup_pipe:
            os.close(fd)

    @property
    def assigned(self) -> int:
        """The number of jobs that are assigned to children and have not ended."""
        return sum(len(child.assigned) for child in self.children)

    def wait(self, timeout: float, extra: Iterable[int] = (), watched: Iterable[int] = ()) -> None:
        """Sleep until a child writes, dies or can read more of a message, a signal comes, or the time is over.

        Input from `extra` is discarded, input in `watched` only ends the sleep.
        """
        poll = select.poll()
        for fd in (self._wakeup_pipe[0], *extra, *watched):
            poll.register(fd, select.POLLIN)
        for child in self.children:
            if child.unsent:
                poll.register(child.messages[1], select.POLLOUT)
        poll.poll(timeout * 1000)
        for fd in extra:
            with contextlib.suppress(BlockingIOError):
                os.read(fd, 65_536)
        self._listen()
        for child in self.children:
            child.push()

    def _listen(self) -> None:
        """Read wake-ups, and log the lines that children have sent."""
        with contextlib.suppress(BlockingIOError):
            said = os.read(self._wakeup_pipe[0], 65_536).replace(b"\0", b"")
            if said:
                from cronq.system.log import log  # serve-inetd starts a job before it imports logging

                for line in said.decode(errors="replace").splitlines():
                    log.info("%s", line)

    def collect(self) -> tuple[list[Ended], list[Claimed]]:
        """Return the attempts that ended, and the jobs that dead children, or those about to end, never started."""
        ended: list[Ended] = []
        orphaned: list[Claimed] = []
        for child in list(self.children):
            gone = has_exited(child.pid)
            ended += child.collect()
            if gone and self._is_over(child):
                ended += self._reap(child)
                orphaned += child.assigned
                self._check_birth(child)
                self._retire(child)
            elif child.journal.is_leaving:
                orphaned += child.take_back()
        self._retire_worn()
        self._ending = [child for child in self._ending if not self._has_ended(child)]
        return ended, orphaned

    def _check_birth(self, child: ChildHandle) -> None:
        """Raise CronqError when _STILLBORN children in a row have died before they began a job."""
        begun, _, _ = child.journal.current()
        self._stillborn = 0 if begun else self._stillborn + 1
        if self._stillborn >= _STILLBORN:
            said = child.last_line_printed or "nothing"
            raise CronqError(f"{_STILLBORN} executors in a row died before they began a job; the last one said: {said}")

    def _is_over(self, child: ChildHandle) -> bool:
        """Tell whether all processes of a dead child's running job have ended, killing them if necessary."""
        from cronq.execution import leftovers  # here, not above: few children die

        if child.running is None or leftovers.end(child.journal.file, patience=_DYING):
            return True
        self._complain(child)
        return False

    def _complain(self, child: ChildHandle) -> None:
        """Log, once, that a job can't be ended."""
        from cronq.execution import leftovers
        from cronq.system.log import log  # serve-inetd starts a job before it imports logging

        if not child.unkillable:
            child.unkillable = True
            left = leftovers.described(child.journal.file)
            log.warning("job %d is not over before %s has ended, which cronq may not kill", child.assigned[0].id, left)

    def _reap(self, child: ChildHandle) -> Iterator[Ended]:
        """Reap a dead child; yields the outcome of the job that it was running."""
        _, status, usage = os.wait4(child.pid, 0)
        running = child.running
        if os.waitstatus_to_exitcode(status) == child_side.REPLACED:
            child.tell_why()
        if running is not None:
            job, elapsed = running
            child.assigned.popleft()
            outcome = child.doom or crashed(status)
            yield Ended(job, self._cut_off(child, outcome, elapsed, usage))

    def _cut_off(self, child: ChildHandle, outcome: Outcome, elapsed: float, usage: struct_rusage) -> Outcome:
        now = self._clock.now()
        stdout, stderr = (capture.text() for capture in child.captures)
        return outcome._replace(
            started_at=now - round(elapsed * SECOND),
            finished_at=now,
            stdout=stdout,
            stderr=stderr,
            pid=child.pid,
            peak_memory=usage.ru_maxrss * 1024,
        )

    def _retire(self, child: ChildHandle) -> None:
        child.assigned.clear()
        child.close()
        self._forget(child)

    def _forget(self, child: ChildHandle) -> None:
        self.children.remove(child)
        self.retired.append(child)

    def _retire_worn(self) -> None:
        for child in list(self.children):
            if (self._is_worn(child) or child.journal.is_leaving) and not child.assigned:
                self._let_end(child)

    def _let_end(self, child: ChildHandle) -> None:
        """Close the pipes of a child without jobs, so that it ends; after the grace it is killed."""
        child.stop()
        child.must_end = time.monotonic() + self._config.grace + _DYING
        self._forget(child)
        self._ending.append(child)

    def _has_ended(self, child: ChildHandle) -> bool:
        if not has_exited(child.pid):
            if time.monotonic() < child.must_end:
                return False
            os.kill(child.pid, signal.SIGKILL)
        _, status = os.waitpid(child.pid, 0)
        if os.waitstatus_to_exitcode(status) == child_side.REPLACED:
            child.tell_why()
        child.close()
        return True

    def settled(self) -> None:
        """Empty and delete journals, after all collected outcomes were written to the database."""
        for child in self.children:
            if not child.assigned and child.journal.size > self._full // _SMALL:
                child.journal.forget()
        for child in self.retired:
            child.journal.remove()
        self.retired.clear()
        self._full = self._room()

    def _room(self) -> int:
        """Return the bytes that a journal may have: fewer on a disk that is nearly full, so that each has some."""
        disk = os.statvfs(self._config.lock_dir)
        written = sum(child.journal.size for child in self.children)
        return min(_JOURNAL_FULL, (disk.f_bavail * disk.f_frsize + written) // (2 * self.size))

    def has_room(self, child: ChildHandle) -> bool:
        """Tell whether the child may be assigned more: not if its job is slow, its journal full, or it is to end."""
        worn = self._is_worn(child) or child.journal.is_leaving or self.jobs_left(child) <= 0
        return not worn and child.journal.size < self._full and child.busy_for <= STUCK

    def jobs_left(self, child: ChildHandle) -> int:
        """Return the number of jobs that the child may still be assigned before it is replaced."""
        return self._config.child_max_jobs - child.done - len(child.assigned)

    def _is_worn(self, child: ChildHandle) -> bool:
        config = self._config
        return child.done >= config.child_max_jobs or child.memory > config.child_max_memory

    def tick(self) -> list[Claimed]:
        """Enforce time limits, trim long output, and take back the jobs that wait for a slow one; returns those."""
        now = time.monotonic()
        if now - self._looked < TICK:
            return []
        self._looked = now
        back: list[Claimed] = []
        for child in self.children:
            if child.running is not None:
                self._watch(child)
                if len(child.assigned) > 1 and child.busy_for > STUCK:
                    back += child.take_back()
        return back

    def _watch(self, child: ChildHandle) -> None:
        for capture in child.captures:
            capture.trim()
        running = child.running
        if running is None:
            return
        if child.unkillable:
            self._end(child)
        elif child.end_requested is not None:
            if time.monotonic() - child.end_requested > self._config.grace:
                self.kill(child, child.doom)
        else:
            self._keep_limit(child, *running)

    def _keep_limit(self, child: ChildHandle, job: Claimed, elapsed: float) -> None:
        limit = self.policies.time_limit(job)
        if elapsed < limit:
            return
        if not child.warned:
            child.warned = True
            error = Failure("TimeLimitExceeded", f"died of SIGTERM at its time limit of {span(limit)}")
            child.doom = Outcome("timeout", 0, 0, error=error)
            os.kill(child.pid, signal.SIGTERM)
        if elapsed > limit + self._config.grace:
            error = Failure(
                "TimeLimitExceeded", f"killed: ran past its time limit of {span(limit)} and ignored SIGTERM"
            )
            self.kill(child, Outcome("timeout", 0, 0, error=error, signal="SIGKILL"))

    def kill(self, child: ChildHandle, outcome: Outcome | None) -> None:
        """Kill a child in the middle of its job, and all that descends from it, unless the job has just ended.

        The child is stopped first, so that the signal can't hit the job after it.
        """
        os.kill(child.pid, signal.SIGSTOP)
        wait_until_stopped(child.pid)
        if child.running is not None and not child.journal.has_more():
            child.doom = outcome
            self._end(child)
        else:
            os.kill(child.pid, signal.SIGCONT)

    def _end(self, child: ChildHandle) -> None:
        """Kill the descendants of a stopped child, then the child; it stays stopped if one of them can't be killed."""
        if process_tree.kill_all(lambda: process_tree.descendants(child.pid)):
            self._complain(child)
        else:
            kill_group(child.pid)

    def kill_busy(self, outcome: Outcome) -> None:
        """Kill each child that has jobs; may be called from a signal handler at any time."""
        for child in list(self.children):
            if child.assigned:
                child.doom = outcome
                os.kill(child.pid, signal.SIGSTOP)
                self._end(child)

    def end_job(self, job_id: int, outcome: Outcome) -> None:
        """End this job if it is running: SIGTERM, and SIGKILL after the grace."""
        for child in self.children:
            running = child.running
            if running is not None and running[0].id == job_id and child.end_requested is None:
                child.doom = outcome
                child.tell_to_end(running[0])

    def written_by(self, job_id: int, number: int) -> tuple[Claimed, list[tuple[int, bytes]]] | None:
        """Return a running job and, of stdout and stderr, size and last `number` bytes; None if it isn't here."""
        for child in self.children:
            running = child.running
            if running is not None and running[0].id == job_id:
                return running[0], [capture.last(number) for capture in child.captures]
        return None

    def recall(self) -> list[Claimed]:
        """Take back all jobs that were not started, from all children."""
        return [job for child in self.children for job in child.take_back()]

    def close(self) -> None:
        """End the idle children and delete their journals, after all outcomes were settled."""
        self.leave()
        self.settled()

    def leave(self) -> None:
        """End the children; their journals stay for the rescue of this worker."""
        for child in list(self.children):
            self._let_end(child)
        for child in self._ending:
            wait_for(child.pid, child.must_end - time.monotonic())
            self._has_ended(child)
        if self._wakeup_pipe:
            self._listen()
        for fd in self._wakeup_pipe:
            os.close(fd)


def _nothing() -> None:
    """Do nothing."""


def crashed(status: int) -> Outcome:
    """Make the outcome of an attempt whose process ended with this wait status."""
    if os.WIFSIGNALED(status):
        name = signal_name(os.WTERMSIG(status))
        return Outcome("crashed", 0, 0, error=Failure("ExecutorDied", f"job process killed: {name}"), signal=name)
    code = os.WEXITSTATUS(status)
    if code == child_side.LOST_DESCRIPTORS:
        how = "the task closed descriptors that cronq needs"
    else:
        how = f"exit status {code} in the middle of the task"
    return Outcome("crashed", 0, 0, error=Failure("ExecutorDied", f"job process ended: {how}"), exit_status=code)
