"""Child processes: spawn, hand jobs over, watch their time, reap.

The runner's side. Children are forked from the warm runner while it has no database
connection open. What a child answers stands in its journal; a byte through the bell says
that there is something to read.
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
from cronq.execution import leftovers
from cronq.execution.child_handle import ChildHandle, Ended
from cronq.execution.executor import Executor
from cronq.execution.process_state import ProcessState
from cronq.model.claimed_job import Failure
from cronq.model.outcome import Outcome
from cronq.system import process_tree
from cronq.system.descriptors import out_of_the_way
from cronq.system.process import die_with_parent, signal_name, wait_for
from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from resource import struct_rusage

    from cronq.execution.child_handle import PoolConfig
    from cronq.model.claimed_job import Claimed

STUCK = 0.1
"""Seconds that a job may run before what waits behind it in the same child is taken back."""

TICK = 0.05
"""Seconds between two looks at time limits and at answers nobody rang for."""

_STILLBORN = 20
"""Children that may die one after the other without having begun a job."""

_JOURNAL_FULL = 8 << 20
_SMALL = 8
"""The part of a full journal that is worth being emptied when its child has nothing in hand."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_DYING = 0.1
"""Seconds that killed processes get to be gone before other children are looked after."""

_STOPPING = 0.2
"""Seconds to wait for a child to take SIGSTOP; one in the middle of disk I/O takes it later."""


class Pool:
    """The children of one runner."""

    def __init__(self, size: int, setting: PoolConfig) -> None:
        self.size = size
        self.before_fork: Callable[[], None] = _nothing
        """Closes what a child must not inherit."""
        self._setting = setting
        self._numbers = iter(range(1, 1 << 30))
        self._bell = os.pipe()
        for fd in self._bell:
            os.set_blocking(fd, False)
        self._looked = 0.0
        self._full = _JOURNAL_FULL
        self._stillborn = 0
        self._state = ProcessState()
        self._ending: list[ChildHandle] = []
        self.members: list[ChildHandle] = []
        self.retired: list[ChildHandle] = []

    def fill(self) -> None:
        """Fork as many children as are missing."""
        if len(self.members) < self.size:
            self.before_fork()
            while len(self.members) < self.size and (member := self._fork()):
                self.members.append(member)

    def _fork(self) -> ChildHandle | None:
        """A new child; None while there is no room for its journal, but some may come.

        Raises Unavailable where none will: nothing is in hand or waits to be settled.
        """
        try:
            member = ChildHandle(next(self._numbers), self._setting)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            if self.members or self.retired:
                return None
            why = f"{self._setting.config.lock_dir}: {error.strerror}: no room for the journals of jobs"
            raise Unavailable(f"{why}; make some, or set lock_dir to a directory that has it") from None
        self._state.read_before_fork()
        runner = os.getpid()
        pid = os.fork()
        if pid == 0:
            die_with_parent()
            if os.getppid() != runner:
                os._exit(0)
            child_side.become(member.captures, member.journal, lambda: self._serve(member))
        member.pid = pid
        member.journal.name_process(pid)
        return member

    def _serve(self, member: ChildHandle) -> None:
        """In the child: forget the other children and work."""
        for other in self.members:
            other.close()
            other.journal.close()
        os.close(member.permits[1])
        os.close(member.messages[1])
        os.close(self._bell[0])
        setting, journal = self._setting, member.journal
        executor = Executor(setting.registry, setting.config, setting.clock, in_child=journal.name_command)
        line = child_side.Pipes(*map(out_of_the_way, (member.permits[0], member.messages[0], self._bell[1])))
        tools = child_side.Tools(
            journal,
            member.captures,
            executor,
            setting.policies.time_limit,
            self._state,
            setting.registry.hooks["on_child_start"],
            setting.config.grace,
        )
        child_side.Child(line, tools).serve()

    def let_go(self) -> None:
        """In a process that was forked beside the children: hold no end of their pipes."""
        for member in self.members:
            member.close()
        for fd in self._bell:
            os.close(fd)

    @property
    def in_hand(self) -> int:
        """Jobs that children have and that have not ended."""
        return sum(len(member.hand) for member in self.members)

    def wait(self, timeout: float, extra: Iterable[int] = (), watched: Iterable[int] = ()) -> None:
        """Sleep until a child rings, dies or can take more of a message, a signal comes, or the time is over.

        What can be read from `extra` is thrown away, what comes in `watched` only ends the sleep.
        """
        poll = select.poll()
        for fd in (self._bell[0], *extra, *watched):
            poll.register(fd, select.POLLIN)
        for member in self.members:
            if member.unsent:
                poll.register(member.messages[1], select.POLLOUT)
        poll.poll(timeout * 1000)
        for fd in extra:
            with contextlib.suppress(BlockingIOError):
                os.read(fd, 65_536)
        self._listen()
        for member in self.members:
            member.push()

    def _listen(self) -> None:
        """Log what the children have said beside ringing."""
        with contextlib.suppress(BlockingIOError):
            said = os.read(self._bell[0], 65_536).replace(b"\0", b"")
            if said:
                from cronq.system.log import log  # serve-inetd starts a job before it imports logging

                for line in said.decode(errors="replace").splitlines():
                    log.info("%s", line)

    def collect(self) -> tuple[list[Ended], list[Claimed]]:
        """Attempts that ended, the dead children's included, and jobs that a dead child never started."""
        ended: list[Ended] = []
        orphaned: list[Claimed] = []
        for member in list(self.members):
            gone = _has_exited(member.pid)
            ended += member.collect()
            if gone and self._is_over(member):
                ended += self._reap(member)
                orphaned += member.hand
                self._check_birth(member)
                self._retire(member)
            elif member.journal.is_leaving:
                orphaned += member.take_back()
        self._retire_worn()
        self._ending = [member for member in self._ending if not self._is_buried(member)]
        return ended, orphaned

    def _check_birth(self, member: ChildHandle) -> None:
        """Raise CronqError when one child after the other dies before it has begun a job."""
        begun, _, _ = member.journal.current()
        self._stillborn = 0 if begun else self._stillborn + 1
        if self._stillborn >= _STILLBORN:
            said = member.last_words or "nothing"
            raise CronqError(f"{_STILLBORN} executors in a row died before they began a job; the last one said: {said}")

    def _is_over(self, member: ChildHandle) -> bool:
        """Whether nothing lives any more of the job in whose middle a dead child was."""
        if member.running is None or leftovers.end(member.journal.file, patience=_DYING):
            return True
        self._complain(member)
        return False

    def _complain(self, member: ChildHandle) -> None:
        """Log, once, that a job can't be ended."""
        from cronq.system.log import log  # serve-inetd starts a job before it imports logging

        if not member.lives_on:
            member.lives_on = True
            left = leftovers.described(member.journal.file)
            log.warning("job %d is not over before %s has ended, which cronq may not kill", member.hand[0].id, left)

    def _reap(self, member: ChildHandle) -> Iterator[Ended]:
        """Bury a dead child; if it died in the middle of a job, say how."""
        _, status, usage = os.wait4(member.pid, 0)
        running = member.running
        if os.waitstatus_to_exitcode(status) == child_side.REPLACED:
            member.tell_why()
        if running is not None:
            job, elapsed = running
            member.hand.popleft()
            outcome = member.doom or crashed(status)
            yield Ended(job, self._cut_off(member, outcome, elapsed, usage))

    def _cut_off(self, member: ChildHandle, outcome: Outcome, elapsed: float, usage: struct_rusage) -> Outcome:
        now = self._setting.clock.now()
        stdout, stderr = (capture.text() for capture in member.captures)
        return outcome._replace(
            started_at=now - round(elapsed * SECOND),
            finished_at=now,
            stdout=stdout,
            stderr=stderr,
            pid=member.pid,
            peak_memory=usage.ru_maxrss * 1024,
        )

    def _retire(self, member: ChildHandle) -> None:
        member.hand.clear()
        member.close()
        self._forget(member)

    def _forget(self, member: ChildHandle) -> None:
        self.members.remove(member)
        self.retired.append(member)

    def _retire_worn(self) -> None:
        for member in list(self.members):
            if (self._is_worn(member) or member.journal.is_leaving) and not member.hand:
                self._let_end(member)

    def _let_end(self, member: ChildHandle) -> None:
        """Have a child without jobs end in its own time, which is the grace."""
        member.stop()
        member.must_end = time.monotonic() + self._setting.config.grace + _DYING
        self._forget(member)
        self._ending.append(member)

    def _is_buried(self, member: ChildHandle) -> bool:
        if not _has_exited(member.pid):
            if time.monotonic() < member.must_end:
                return False
            os.kill(member.pid, signal.SIGKILL)
        _, status = os.waitpid(member.pid, 0)
        if os.waitstatus_to_exitcode(status) == child_side.REPLACED:
            member.tell_why()
        member.close()
        return True

    def settled(self) -> None:
        """All that was collected is in the database: journals may forget it."""
        for member in self.members:
            if not member.hand and member.journal.size > self._full // _SMALL:
                member.journal.forget()
        for member in self.retired:
            member.journal.remove()
        self.retired.clear()
        self._full = self._room()

    def _room(self) -> int:
        """Bytes that a journal may have: where there is little room, less, so that all have some."""
        disk = os.statvfs(self._setting.config.lock_dir)
        written = sum(member.journal.size for member in self.members)
        return min(_JOURNAL_FULL, (disk.f_bavail * disk.f_frsize + written) // (2 * self.size))

    def has_room(self, member: ChildHandle) -> bool:
        """Whether the child may be handed more: not before its journal is emptied, or it is replaced."""
        worn = self._is_worn(member) or member.journal.is_leaving
        return member.journal.size < self._full and not worn and self.jobs_left(member) > 0

    def jobs_left(self, member: ChildHandle) -> int:
        """How many more jobs the child may be handed in its life."""
        return self._setting.config.child_max_jobs - member.done - len(member.hand)

    def _is_worn(self, member: ChildHandle) -> bool:
        config = self._setting.config
        return member.done >= config.child_max_jobs or member.memory > config.child_max_memory

    def tick(self) -> list[Claimed]:
        """Look after running jobs: time limits, long output, and jobs stuck behind a slow one.

        Returns jobs taken back from behind a slow one.
        """
        now = time.monotonic()
        if now - self._looked < TICK:
            return []
        self._looked = now
        back: list[Claimed] = []
        for member in self.members:
            if member.running is not None:
                self._watch(member)
                if len(member.hand) > 1 and member.busy_for > STUCK:
                    back += member.take_back()
        return back

    def _watch(self, member: ChildHandle) -> None:
        for capture in member.captures:
            capture.trim()
        running = member.running
        if running is None:
            return
        if member.lives_on:
            self._end(member)
        elif member.told is not None:
            if time.monotonic() - member.told > self._setting.config.grace:
                self.kill(member, member.doom)
        else:
            self._keep_limit(member, *running)

    def _keep_limit(self, member: ChildHandle, job: Claimed, elapsed: float) -> None:
        limit = self._setting.policies.time_limit(job)
        if elapsed < limit:
            return
        if not member.warned:
            member.warned = True
            error = Failure("TimeLimitExceeded", f"died of SIGTERM at its time limit of {limit:g} s")
            member.doom = Outcome("timeout", 0, 0, error=error)
            os.kill(member.pid, signal.SIGTERM)
        if elapsed > limit + self._setting.config.grace:
            error = Failure("TimeLimitExceeded", f"killed: ran past its time limit of {limit:g} s and ignored SIGTERM")
            self.kill(member, Outcome("timeout", 0, 0, error=error, signal="SIGKILL"))

    def kill(self, member: ChildHandle, outcome: Outcome | None) -> None:
        """Kill a child in the middle of its job, and all that descends from it, unless the job has just ended.

        The child is stopped first, so that the signal can't hit the job after it.
        """
        os.kill(member.pid, signal.SIGSTOP)
        _wait_until_stopped(member.pid)
        if member.running is not None and not member.journal.has_more():
            member.doom = outcome
            self._end(member)
        else:
            os.kill(member.pid, signal.SIGCONT)

    def _end(self, member: ChildHandle) -> None:
        """Kill what descends from a stopped child, then the child; while it can't, the child stays stopped."""
        if process_tree.kill_all(lambda: process_tree.descendants(member.pid)):
            self._complain(member)
        else:
            _kill_group(member.pid)

    def kill_busy(self, outcome: Outcome) -> None:
        """Kill every child that has jobs, whatever else is going on: this runs in a signal's handler."""
        for member in list(self.members):
            if member.hand:
                member.doom = outcome
                os.kill(member.pid, signal.SIGSTOP)
                self._end(member)

    def end_job(self, job_id: int, outcome: Outcome) -> None:
        """Have this job end, if it is running: SIGTERM, and SIGKILL after the grace."""
        for member in self.members:
            running = member.running
            if running is not None and running[0].id == job_id and member.told is None:
                member.doom = outcome
                member.tell_to_end(running[0])

    def written_by(self, job_id: int, number: int) -> tuple[Claimed, list[tuple[int, bytes]]] | None:
        """What a job that is running has written to stdout and stderr: how much, and so many of the last bytes."""
        for member in self.members:
            running = member.running
            if running is not None and running[0].id == job_id:
                return running[0], [capture.last(number) for capture in member.captures]
        return None

    def recall(self) -> list[Claimed]:
        """Take back everything that was not started."""
        return [job for member in self.members for job in member.take_back()]

    def close(self) -> None:
        """End the idle children and remove their journals: all is settled."""
        self.leave()
        self.settled()

    def leave(self) -> None:
        """End the children; what they wrote stays for whoever rescues this worker."""
        for member in list(self.members):
            self._let_end(member)
        for member in self._ending:
            wait_for(member.pid, member.must_end - time.monotonic())
            self._is_buried(member)
        self._listen()
        for fd in self._bell:
            os.close(fd)


def _nothing() -> None:
    """Nothing is open yet."""


def crashed(status: int) -> Outcome:
    """The outcome of an attempt whose process died with this wait status."""
    if os.WIFSIGNALED(status):
        name = signal_name(os.WTERMSIG(status))
        return Outcome("crashed", 0, 0, error=Failure("ExecutorDied", f"executor died: {name}"), signal=name)
    code = os.WEXITSTATUS(status)
    if code == child_side.LOST_DESCRIPTORS:
        how = "the task closed the executor's own descriptors"
    else:
        how = f"exit status {code} in the middle of the task"
    return Outcome("crashed", 0, 0, error=Failure("ExecutorDied", f"executor died: {how}"), exit_status=code)


def _has_exited(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(pid: int) -> None:
    """Kill what is left of a child's process group; the child itself is not reaped yet, so the pid is ours."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _wait_until_stopped(pid: int) -> None:
    deadline = time.monotonic() + _STOPPING
    states = os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT
    while os.waitid(os.P_PID, pid, states) is None and time.monotonic() < deadline:
        time.sleep(0.001)
