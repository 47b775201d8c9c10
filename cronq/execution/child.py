"""Run jobs in a child process: receive them from the runner, run them in order, record their outcomes.

There are two pipes. Messages carry jobs, several at once. Permits carry one byte for each of
them, and a child reads one before it starts the next job; so the runner takes unstarted jobs back
by reading the permits itself, and the kernel gives each permit to one of the two. The value of
the byte is the generation of the job, which changes each time the runner takes jobs back: the
child drops jobs of other generations than the permit's.
"""

from __future__ import annotations

import _thread
import errno
import marshal
import os
import select
import signal
import struct
import sys
import time
from collections import deque
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from cronq.errors import Terminated, TimeLimitExceeded
from cronq.execution import exit_handlers
from cronq.execution.journal_file import CHILD_VARIABLE
from cronq.execution.verdict import verdict_of
from cronq.model.claimed_job import Claimed
from cronq.model.outcome import Outcome
from cronq.model.settlement import frees_group
from cronq.system import process_tree
from cronq.system.prctl import adopt_orphans
from cronq.times import span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from sys import UnraisableHookArgs
    from types import FrameType

    from cronq.execution.executor import Executor
    from cronq.execution.journal import Journal
    from cronq.execution.output_capture import Capture
    from cronq.execution.process_state import ProcessState

LOST_DESCRIPTORS = 119
"""Exit status of a child whose task closed descriptors that cronq needs."""

BROKEN = 70
"""Exit status of a child that failed outside of any task."""

REPLACED = 117
"""Exit status of a child that ends between two jobs to be replaced; the last line on its stderr gives the reason."""

GENERATIONS = 256

_SOON = 0.01
"""Seconds until a lost interruption is repeated."""

_HEAD = struct.Struct("<IB")
_PIECE = 1 << 20
"""The most bytes of one read: more than a pipe holds."""

_QUICK = 1_000_000
"""Nanoseconds; at the end of a job that took longer, the runner is woken at once."""

_FORKING = 40_000
"""Nanoseconds that a job takes at least if it starts a process: after a shorter one none is searched for."""

_QUIET = 64
"""The number of ended jobs at which the runner is woken even if all were quick."""

_LONGEST_REMARK = 1000
"""The most bytes of a line for the runner's log: a pipe doesn't mix a write of this size with others."""

_DYING = 0.005
"""Seconds between two checks whether killed processes have ended."""

_CONTINUES = frozenset({"success", "warning"})
_INTERRUPTED = frozenset({"timeout", "crashed"})


class Pipes(NamedTuple):
    """The child's ends of pipes: permits and messages to read; wake-ups and lines for the log to write."""

    permits: int
    messages: int
    wakeup: int


def packed(jobs: Iterable[Claimed], generation: int) -> bytes:
    """Encode the message that assigns jobs of this generation to a child."""
    body = marshal.dumps([tuple(job) for job in jobs])
    return _HEAD.pack(len(body), generation) + body


class Child:
    """Runs jobs in the forked process."""

    def __init__(
        self,
        pipes: Pipes,
        journal: Journal,
        captures: tuple[Capture, Capture],
        *,
        executor: Executor,
        state: ProcessState,
        grace: float,
    ) -> None:
        """`grace` is the number of seconds that atexit handlers of jobs get."""
        self._pipes = pipes
        self._journal = journal
        self._captures = captures
        self._executor = executor
        self._policies = executor.policies
        self._state = state
        self._grace = grace
        self._assigned: deque[tuple[int, Claimed]] = deque()
        self._stopped: dict[str, int] = {}
        self._running: Sequence[Any] = (0, 0)
        self._had_threads = False
        self._deadline: int | None = None
        self._limit = 0.0
        self._interruption: BaseException | None = None
        self._untold = 0
        self._pid = os.getpid()
        self._idle = select.poll()
        self._idle.register(pipes.permits, select.POLLIN)

    def serve(self) -> NoReturn:
        """Run jobs until the runner closes the pipe of permits; never returns."""
        signal.signal(signal.SIGTERM, self._time_is_up)
        sys.unraisablehook = partial(self._take_unraised, sys.unraisablehook)
        handlers = {int(number): signal.getsignal(number) for number in _OWN_SIGNALS}
        self._executor.life.settled_in = self._state.adopt_threads
        self._state.begin(handlers, {CHILD_VARIABLE: self._journal.file.value}, self._executor.at_start)
        try:
            while True:
                self._run(self._next())
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            os._exit(LOST_DESCRIPTORS)

    def _next(self) -> Claimed:
        permit = self._permit()
        while not self._assigned or self._assigned[0][0] != permit[0]:
            if self._assigned:
                self._assigned.popleft()
            else:
                self._receive()
        return self._assigned.popleft()[1]

    def _permit(self) -> bytes:
        while True:
            try:
                permit = os.read(self._pipes.permits, 1)
            except BlockingIOError:
                self._idle.poll()
                continue
            if not permit:
                self._end(0)
            return permit

    def _receive(self) -> None:
        self._stopped.clear()  # a job and its followers in the group come in one message
        length, generation = _HEAD.unpack(self._read(_HEAD.size))
        jobs: list[tuple[Any, ...]] = marshal.loads(self._read(length))
        self._assigned.extend((generation, Claimed(*job)) for job in jobs)

    def _read(self, length: int) -> bytes:
        data = os.read(self._pipes.messages, min(length, _PIECE))
        if len(data) == length:
            return data
        whole = bytearray(data)
        while len(whole) < length:
            more = os.read(self._pipes.messages, min(length - len(whole), _PIECE))
            if not more:
                self._end(0)
            whole += more
        return bytes(whole)

    def _run(self, job: Claimed) -> None:
        if job.state == "blocked" and self._stopped.get(job.group or "") == job.token:
            self._note(job, _not_started())
            self._tell(at_once=False)
            return
        begun = time.monotonic_ns()
        self._journal.begin(job, begun)
        self._running = job
        self._limit = self._policies.time_limit(job)
        self._deadline = begun + round(self._limit * 1e9)
        outcome = self._executed(job)
        self._deadline = self._interruption = None
        if os.getpid() != self._pid:
            os._exit(0 if outcome.kind in _CONTINUES else 1)  # a process that the task forked returned from it, too
        took = time.monotonic_ns() - begun
        lasting = self._put_back(job, took)
        if outcome.kind in _INTERRUPTED:
            self._end_descendants()
        self._note(job, self._with_output(outcome))
        if outcome.kind in _INTERRUPTED:
            os.kill(self._pid, signal.SIGKILL)  # an interrupted job may have left locks or an inconsistent state
        self._go_on(job, outcome, took)
        if lasting:
            self._leave(f"job {job.id} changed {lasting}")

    def _go_on(self, job: Claimed, outcome: Outcome, took: int) -> None:
        stdout, stderr = self._captures
        sys.stdout, sys.stderr = stdout.stream, stderr.stream
        if job.group is not None and not self._frees_group(job, outcome):
            self._stopped[job.group] = job.token
        self._tell(at_once=took > _QUICK)
        if took > _FORKING and (left := _children_left()):
            self._leave(f"job {job.id} left {left} running")
        if self._had_threads and (threads_left := self._state.threads_left()):
            self._leave(f"job {job.id} left {threads_left} running")

    def _frees_group(self, job: Claimed, outcome: Outcome) -> bool:
        return outcome.kind in _CONTINUES or frees_group(job, outcome, self._policies)

    def _note(self, job: Claimed, outcome: Outcome) -> None:
        try:
            self._journal.append(job, outcome)
        except OSError as error:
            self._leave(f"{self._journal.file.path} takes no more: {error.strerror}")

    def _executed(self, job: Claimed) -> Outcome:
        try:
            outcome = copy_context().run(self._executor.execute, job)
            self._had_threads = self._state.has_threads()
            if self._had_threads and self._deadline is not None:
                return self._with_threads_ended(outcome)
        except (TimeLimitExceeded, Terminated) as error:  # the signal came when the task had just returned
            return verdict_of(error, self._executor.now())
        return outcome

    def _with_threads_ended(self, outcome: Outcome) -> Outcome:
        """Wait until the job's threads have ended; at the time limit, stop waiting and add a warning to the outcome."""
        warnings = outcome.warnings
        try:
            self._state.wait_for_threads()
        except TimeLimitExceeded as error:
            warnings = (*warnings, f"{self._state.threads_left()} was still running when the job {error}")
        kind = "warning" if warnings and outcome.kind == "success" else outcome.kind
        return outcome._replace(kind=kind, warnings=warnings, finished_at=self._executor.now())

    def _end_descendants(self) -> None:
        """Kill all processes that the job has started, and wait for their end, also of those that can't be killed."""
        while process_tree.kill_all(self._descendants) or self._descendants():
            time.sleep(_DYING)

    def _descendants(self) -> set[int]:
        return process_tree.descendants(self._pid)

    def _leave(self, why: str) -> NoReturn:
        """End this child between two jobs; processes that jobs have left running then belong to no attempt."""
        self._journal.release_lock()
        self._end(REPLACED, why)

    def _end(self, status: int, why: str = "") -> NoReturn:
        """Call the atexit handlers of jobs, and end this process; `why` becomes the last line on stderr."""
        if exit_handlers.are_there():
            self._journal.announce_end()
            self._tell(at_once=True)
            exit_handlers.call(self._grace)
            if said := self._captures[1].take():
                self._remark(f"a child process said at its end: {said.strip().splitlines()[-1]}")
        with suppress(OSError):  # a task may have closed it
            os.write(2, f"{why}\n".encode())
        os._exit(status)

    def _put_back(self, job: Claimed, took: int) -> str:
        """Restore the process state that the task has changed; returns the names of what can't be restored."""
        if not self._state.may_differ(took):
            return ""
        undone, lasting = self._state.put_back()
        if undone:
            self._remark(f"job {job.id} changed {', '.join(undone)} of its process: put back")
        return ", ".join(lasting)

    def _remark(self, text: str) -> None:
        """Send the runner a line for its log; a full pipe drops it."""
        with suppress(BlockingIOError):
            os.write(self._pipes.wakeup, text.encode("utf-8", "backslashreplace")[:_LONGEST_REMARK] + b"\n")

    def _with_output(self, outcome: Outcome) -> Outcome:
        out, err = self._captures
        try:
            stdout, stderr = out.take(), err.take()
        except OSError:  # the task has closed them
            return outcome
        if stdout is None and stderr is None:
            return outcome
        return outcome._replace(stdout=outcome.stdout or stdout, stderr=outcome.stderr or stderr)

    def _tell(self, *, at_once: bool) -> None:
        self._untold += 1
        if at_once or not self._assigned or self._untold >= _QUIET:
            self._untold = 0
            try:
                os.write(self._pipes.wakeup, b"\0")
            except BlockingIOError:
                return  # a full pipe wakes the runner as well

    def _time_is_up(self, _number: int, _frame: FrameType | None) -> None:
        if self._deadline is None:
            return
        if self._journal.order == self._running[:2]:
            self._interrupt(Terminated())
        elif time.monotonic_ns() >= self._deadline:
            self._interrupt(TimeLimitExceeded(f"ran past its time limit of {span(self._limit)}"))

    def _interrupt(self, reason: BaseException) -> None:
        self._deadline = None
        if not self._executor.interrupt(reason):
            self._interruption = reason
            raise reason

    def _take_unraised(self, usual: Callable[[UnraisableHookArgs], None], lost: UnraisableHookArgs) -> None:
        """Repeat an interruption that was raised inside a `__del__`, where Python drops each error.

        A thread sends the signal again a moment later: raised in this hook, the error would be dropped as well.
        """
        if lost.exc_value is None or lost.exc_value is not self._interruption:
            usual(lost)
            return
        self._deadline = time.monotonic_ns()
        _thread.start_new_thread(_terminate_soon, (self._pid,))


def _terminate_soon(pid: int) -> None:
    time.sleep(_SOON)
    os.kill(pid, signal.SIGTERM)


def _children_left() -> str:
    """Reap ended processes of jobs, and return the names of those that still run; empty for none."""
    try:
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)) is not None:
            del ended
    except ChildProcessError:
        return ""
    running = sorted(process_tree.descendants(os.getpid()))
    return f"process {', '.join(map(process_tree.name_of, running))}" if running else ""


def _not_started() -> Outcome:
    now = time.time_ns() // 1000
    return Outcome("", now, now, "release")


def become(captures: tuple[Capture, Capture], journal: Journal, serve: Callable[[], None]) -> NoReturn:
    """Make the forked process a child with descriptors 0, 1 and 2 of its own, and call `serve`; never returns."""
    try:
        os.setsid()
        adopt_orphans()
        journal.take_over()
        os.environ[CHILD_VARIABLE] = journal.file.value
        exit_handlers.forget_inherited()
        _own_signals()
        null = os.open(os.devnull, os.O_RDONLY)
        if null != 0:
            os.dup2(null, 0)
            os.close(null)
        for target, capture in enumerate(captures, start=1):
            capture.attach(target)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout, sys.stderr = (capture.stream for capture in captures)
        serve()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(BROKEN)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Ignore a terminal's Ctrl-C: it is meant for the runner, which ends its children."""


_OWN_SIGNALS: dict[signal.Signals, Any] = {
    **dict.fromkeys(
        (
            signal.SIGCHLD,
            signal.SIGALRM,
            signal.SIGUSR1,
            signal.SIGUSR2,
            signal.SIGHUP,
            signal.SIGQUIT,
            signal.SIGPIPE,
        ),
        signal.SIG_DFL,
    ),
    signal.SIGINT: _ignore,  # programs that a task starts would inherit SIG_IGN
    signal.SIGTERM: signal.SIG_IGN,
}
"""The signal handlers of a child; `Child.serve` replaces that of SIGTERM."""


def _own_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number, handler in _OWN_SIGNALS.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
