"""Run a shell command as a job: start it, collect its output, make its outcome."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, Self

from cronq.errors import Terminated, TimeLimitExceeded
from cronq.execution.output_capture import HeadAndTail
from cronq.model.claimed_job import Failure
from cronq.model.outcome import Outcome
from cronq.system.prctl import die_with_parent
from cronq.system.process import signal_name
from cronq.system.process_tree import descendants

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

EX_TEMPFAIL = 75
"""Exit status of a command that is to be run again later."""

EX_PERMANENT = 100
"""Exit status of a command that failed for good."""

TEMPFAIL_DELAY = 60.0
"""Seconds until a command that ended with EX_TEMPFAIL is run again."""

_CHUNK = 65_536
_PER_ROUND = 16
"""Chunks read between two checks whether the command has ended: a background process may print for ever."""

_TICK = 50
"""Milliseconds between two checks of a command without pidfd."""


def run_command(
    command: str | Sequence[str],
    facts: Mapping[str, str],
    started: int,
    *,
    cwd: str | None = None,
    in_child: Callable[[int], None] | None = None,
) -> Outcome:
    """Run a command in this process's group; returns its outcome.

    A string is given to /bin/sh, a list is run as it is; stdin is empty. At the time limit and
    after `cronq cancel --kill` (signal handlers raise TimeLimitExceeded or Terminated here) all
    processes that it started get SIGTERM; those that ignore it are killed together with this
    process, by the runner. `facts` are added to the environment. A runner's child gives `in_child`:
    it is called with the command's pid, and what the command prints goes to this process's stdout
    and stderr as well, where the runner reads it while the command runs, and if it was killed.
    """
    argv = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
    running = _Command.start(argv, facts, cwd, shown=in_child is not None)
    try:
        if in_child:
            in_child(running.pid)
        running.wait()
    except TimeLimitExceeded as limit:
        running.terminate()
        outcome = Outcome("timeout", started, started, error=Failure("TimeLimitExceeded", str(limit)))
    except Terminated:
        running.terminate()
        outcome = terminated(started)
    else:
        outcome = command_outcome(running.status, started)
    return running.measured(outcome)


class _Command:
    """A command that runs, and the pipes of its stdout and stderr."""

    def __init__(self, pid: int, stdout: int, stderr: int, *, shown: bool) -> None:
        self.pid = pid
        """The command's own process."""
        self.status = 0
        self._stdout = stdout
        self._streams = {stdout: HeadAndTail(), stderr: HeadAndTail()}
        self._shown = shown
        self._usage: tuple[int, float] | None = None

    @classmethod
    def start(cls, argv: list[str], facts: Mapping[str, str], cwd: str | None, *, shown: bool) -> Self:
        """Fork a process that runs the command; with `shown`, this process prints its output, too."""
        (stdout, stdout_end), (stderr, stderr_end) = os.pipe(), os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        if signal.getsignal(signal.SIGCHLD) is not signal.SIG_DFL:  # an earlier task may have changed it
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        pid = os.fork()
        if pid == 0:
            _become(argv, facts, cwd, [stdout_end, stderr_end])
        os.close(stdout_end)
        os.close(stderr_end)
        return cls(pid, stdout, stderr, shown=shown)

    def wait(self) -> None:
        """Collect output until the command itself has ended; its background processes may go on."""
        poll = select.poll()
        for fd in self._streams:
            os.set_blocking(fd, False)
            poll.register(fd, select.POLLIN)
        exit_fd = _watch(self.pid)
        if exit_fd is not None:
            poll.register(exit_fd, select.POLLIN)
        try:
            while not self._ended():
                for fd, _ in poll.poll(_TICK if exit_fd is None else None):
                    if fd in self._streams and not self._drain(fd):
                        poll.unregister(fd)
        finally:
            if exit_fd is not None:
                os.close(exit_fd)

    def terminate(self) -> None:
        """Send SIGTERM to all descendants of this process, and wait for their end."""
        usual = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        found = sorted(descendants(os.getpid()))
        if not found:  # it has just ended, or this isn't Linux
            os.killpg(0, signal.SIGTERM)
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGTERM)
        self.wait()
        while descendants(os.getpid()):
            for fd in self._streams:
                self._drain(fd)
            time.sleep(_TICK / 1000)
        signal.signal(signal.SIGTERM, usual)

    def measured(self, outcome: Outcome) -> Outcome:
        """Return the outcome with output, peak memory and processor time; an error gets the last line of stderr."""
        for fd in self._streams:
            self._drain(fd)
            os.close(fd)
        stdout, stderr = (stream.text() for stream in self._streams.values())
        peak, cpu = self._usage or (None, None)
        error = outcome.error
        if error and stderr and stderr.strip() and outcome.kind == "error":
            error = Failure(error.kind, f"{error.message}: {stderr.strip().splitlines()[-1][:500]}")
        return outcome._replace(stdout=stdout, stderr=stderr, peak_memory=peak, cpu_time=cpu, error=error)

    def _ended(self) -> bool:
        if self._usage is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.status = status
                self._usage = usage.ru_maxrss * 1024, round(usage.ru_utime + usage.ru_stime, 6)
        return self._usage is not None

    def _drain(self, fd: int) -> bool:
        """Read what has been written, at most _PER_ROUND chunks; returns False at the end of the stream."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(_PER_ROUND):
                chunk = os.read(fd, _CHUNK)
                if not chunk:
                    return False
                self._streams[fd].add(chunk)
                if self._shown:
                    os.write(1 if fd == self._stdout else 2, chunk)
        return True


def _watch(pid: int) -> int | None:
    """Open a descriptor that becomes readable when the process ends; None if the kernel has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _become(argv: list[str], facts: Mapping[str, str], cwd: str | None, streams: list[int]) -> None:
    """Turn the forked process into the command; never returns."""
    needed = argv[0]
    try:
        die_with_parent()
        for target, stream in enumerate(streams, start=1):
            os.dup2(stream, target)
        for number in (signal.SIGTERM, signal.SIGPIPE, signal.SIGINT, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        if cwd is not None:
            needed = cwd
            os.chdir(cwd)
            needed = argv[0]
        os.execvpe(argv[0], argv, {**os.environ, **facts})
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        os.write(2, f"{needed}: {reason}\n".encode())
        os._exit(126 if isinstance(error, PermissionError) else 127)
    finally:
        os._exit(127)


def terminated(started: int) -> Outcome:
    """Make the outcome of an attempt that `cronq cancel --kill` has ended."""
    error = Failure("Cancelled", "killed by `cronq cancel --kill`")
    return Outcome("crashed", started, started, "cancel", error=error, signal="SIGTERM")


def command_outcome(status: int, started: int) -> Outcome:
    """Make the outcome for a wait status: 0 finished, 75 waiting, 100 failed for good, others are retried."""
    if os.WIFSIGNALED(status):
        name = signal_name(os.WTERMSIG(status))
        error = Failure("Signal", f"the command died of {name}")
        return Outcome("error", started, started, error=error, signal=name)
    code = os.WEXITSTATUS(status)
    error = Failure("ExitStatus", f"exit status {code}")
    if code == 0:
        return Outcome("success", started, started, exit_status=0)
    if code == EX_TEMPFAIL:
        return Outcome("snoozed", started, started, "snooze", TEMPFAIL_DELAY, error, exit_status=code)
    verdict = "fail" if code == EX_PERMANENT else ""
    return Outcome("error", started, started, verdict, error=error, exit_status=code)
