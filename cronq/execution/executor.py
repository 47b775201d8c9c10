"""Run one job in this process and return its Outcome, without a database or socket.

The pool handles tasks that exit, crash or never end.
"""

from __future__ import annotations

import os
import resource
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from cronq.config.command_permission import require_commands
from cronq.errors import ConfigError, Fail, InvalidInput, UnknownTask
from cronq.execution.bounds import fault_of
from cronq.execution.child_life import ChildLife
from cronq.execution.job_context import RunningJob, current_job
from cronq.execution.managers import Managers
from cronq.execution.progress_record import VARIABLE
from cronq.execution.shell_command import run_command
from cronq.execution.verdict import failed_for_good, message_of, verdict_of
from cronq.model.claimed_job import COMMAND_TASK, Failure
from cronq.model.outcome import Outcome
from cronq.model.retry import UNREADABLE_OPTIONS, Policies, overrides
from cronq.system.descriptors import out_of_the_way
from cronq.tasks import serialisation

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronq.config.loader import Config
    from cronq.execution.event_loop import EventLoop
    from cronq.execution.journal import Journal
    from cronq.execution.managers import Leave
    from cronq.model.claimed_job import Claimed
    from cronq.tasks.registry import Registry, Task
    from cronq.times import Clock

    Runs = Callable[[Claimed, RunningJob, int], Outcome]

_FRESH = 5_000
_SHOWN = 60


class Executor:
    """Runs jobs one after another in this process.

    With a `journal`, the process of each command and the progress of each job are recorded there, and what a command
    prints goes to this process's stdout and stderr, too.
    """

    def __init__(self, registry: Registry, config: Config, clock: Clock, *, journal: Journal | None = None) -> None:
        self._journal = journal
        self._shows = journal.show_progress if journal else None
        self._registry = registry
        self._config = config
        self.policies = Policies(config, registry)
        self._clock = clock
        self._hooks = registry.hooks
        self._hooked = any(self._hooks[name] for name in ("job_metadata", "before_job", "after_job"))
        self._around = self._hooks["around_job"]
        self._loop: EventLoop | None = None
        self._run: Runs = self._attempt
        around_child = registry.hooks["around_child"]
        if config.otel:
            from cronq import otel  # here, not above: it imports opentelemetry

            self._run = otel.traced(self._attempt)
            around_child = [otel.around_child, *around_child]
        self._life = ChildLife(around_child, self._enter)
        self._memory = _Memory()

    def now(self) -> int:
        """Return the current instant, by the clock that gives the times of outcomes."""
        return self._clock.now()

    # The process

    @property
    def at_start(self) -> list[Callable[[], object]]:
        """The functions to call before the first job of a child."""
        return [*self._hooks["on_child_start"], *self._life.at_start]

    @property
    def life(self) -> ChildLife:
        """The context managers of `around_child`."""
        return self._life

    def finish(self, coroutine: Any) -> Any:
        """Run a coroutine on this process's event loop; returns its result."""
        return self._opened().run(coroutine)

    def _enter(self, manager: Any) -> Leave:
        return self._opened().enter(manager)

    def _opened(self) -> EventLoop:
        if self._loop is None:
            from cronq.execution.event_loop import EventLoop  # here, not above: most jobs have no coroutines

            self._loop = self._life.loop = EventLoop()
        if self._life.waiting:
            self._life.enter_waiting()
        return self._loop

    def interrupt(self, reason: BaseException) -> bool:
        """Cancel the coroutine that runs; returns False if the signal handler must raise the reason itself."""
        return self._loop is not None and self._loop.interrupt(reason)

    def close(self) -> None:
        """Close the files by which it measures memory; for a process that goes on without this executor."""
        self._memory.close()

    # Jobs

    def execute(self, job: Claimed) -> Outcome:
        """Run the job's task, hooks included. Returns its outcome; raises nothing."""
        started = self._clock.now()
        before = self._memory.begin(started)
        running = RunningJob(job, self._shows, self._registry.batch_of)
        current_job.enter(running)
        try:
            outcome = self._run(job, running, started)
        finally:
            current_job.enter(None)
        peak, cpu = self._memory.end()
        now = self._clock.now()
        (kind, _, _, verdict, delay, error, status, signal, result, warnings, notes, out, err, own, _, spent,
         pid, stop) = outcome  # fmt: skip
        return Outcome(
            kind, started, now if now > started else started, verdict, delay, error, status, signal, result,
            warnings, notes, out, err, peak if own is None else own, before, cpu if spent is None else spent, pid, stop,
        )  # fmt: skip

    def _attempt(self, job: Claimed, running: RunningJob, started: int) -> Outcome:
        try:
            outcome = self._within(job, running, started) if self._around else self._work(job, running, started)
            if self._loop is not None:
                self._loop.end_job()
        except BaseException as error:
            return self._failed(error, running, started)
        return outcome

    def _within(self, job: Claimed, running: RunningJob, started: int) -> Outcome:
        """Run the job inside the managers of `around_job`, which are left however it ends."""
        managers, error = Managers(self._enter), None
        try:
            for hook in self._around:
                managers.enter(hook(running))
            outcome = self._work(job, running, started)
            error = _error_of(outcome)
        except BaseException as raised:
            error, outcome = raised, self._failed(raised, running, started)
        failed = managers.leave(error)
        if failed is None:
            return outcome
        if error is None:
            return self._failed(failed, running, started)
        said = f"around_job: {type(failed).__name__}: {message_of(failed)}"
        return outcome._replace(warnings=(*outcome.warnings, said))

    def _work(self, job: Claimed, running: RunningJob, started: int) -> Outcome:
        if job.retry:
            _require_readable(job.retry)
        if job.task == COMMAND_TASK:
            return self._command(job, running, started)
        task = self._resolved(job.task)
        if isinstance(task, Failure):
            return Outcome("snoozed", started, started, "unknown", error=task)
        return self._call(task, job, running, started)

    def _resolved(self, name: str) -> Task | Failure:
        """Return the task, or a Failure if there is none. Raises the errors of importing its module."""
        try:
            return self._registry.resolve(name)
        except UnknownTask as error:
            return Failure("UnknownTask", str(error))

    def _call(self, task: Task, job: Claimed, running: RunningJob, started: int) -> Outcome:
        arguments = _arguments(job)
        if self._hooked:
            self._before(running)
        result = task.call(arguments, warn=running.warn)
        if type(result) is CoroutineType:
            result = self.finish(result)
        if self._hooked:
            self._after(running, result)
        kept, fault = (None, None) if result is None else self._result(result)
        if fault and self.policies.of(job).results == "require":
            return self._unstorable(fault, running, started)
        if fault:
            running.warn(f"the result was not kept: {fault}")
        if running.has_warnings_or_notes:
            return Outcome(
                "warning" if running.warnings else "success",
                started,
                started,
                result=kept,
                warnings=running.warnings.messages,
                notes=running.changed_notes,
            )
        return Outcome("success", started, started, result=kept)

    def _result(self, value: object) -> tuple[str | None, str | None]:
        """Return the result as JSON and None, or None and the reason why it can't be stored."""
        try:
            text = serialisation.dump_value(value)
        except Exception as error:
            return None, message_of(error)
        fault = fault_of(text, limit=self._config.result_limit)
        return (text, None) if fault is None else (None, fault)

    def _unstorable(self, fault: str, running: RunningJob, started: int) -> Outcome:
        error = TypeError(f"the result can't be stored: {fault}")
        self._on_error(running, error)
        outcome = failed_for_good(error, started)
        return outcome._replace(warnings=running.warnings.messages, notes=running.changed_notes)

    def _command(self, job: Claimed, running: RunningJob, started: int) -> Outcome:
        try:
            require_commands(setting=self._config.commands, file=self._config.database_file())
        except ConfigError as error:
            return Outcome("snoozed", started, started, "refused", error=Failure("NotAllowed", str(error)))
        if self._hooked:
            self._before(running)
        arguments = _arguments(job)
        command: Any = arguments.get("command")
        cwd: Any = arguments.get("cwd")
        if not is_command(command) or not isinstance(cwd, str | None):
            raise Fail(f"the arguments hold no command: {job.args[:_SHOWN]}")
        facts, in_child = _facts(job), None
        if self._journal is not None:
            facts[VARIABLE] = self._journal.place_of_progress
            in_child = self._journal.name_command
        if self._config.otel:
            from cronq.otel import environment

            facts.update(environment())
        outcome = run_command(command, facts, started, cwd=cwd, in_child=in_child)
        if outcome.error is None:
            self._after(running, None)
        elif outcome.kind not in {"snoozed", "crashed"}:
            self._on_error(running, Fail(outcome.error.message))
        kind = "warning" if running.warnings and outcome.kind == "success" else outcome.kind
        return outcome._replace(kind=kind, warnings=running.warnings.messages, notes=running.changed_notes)

    # Hooks

    def _before(self, running: RunningJob) -> None:
        for hook in self._hooks.get("job_metadata", ()):
            fields: Any = hook(running)
            if fields:
                running.note(**fields)
        for hook in self._hooks.get("before_job", ()):
            hook(running)

    def _after(self, running: RunningJob, result: object) -> None:
        for hook in self._hooks.get("after_job", ()):
            try:
                hook(running, result)
            except BaseException as error:  # any error: the work is done
                running.warn(f"after_job {_name(hook)}: {type(error).__name__}: {message_of(error)}")

    def _on_error(self, running: RunningJob, error: BaseException) -> None:
        for hook in self._hooks.get("on_error", ()):
            try:
                hook(running, error)
            except BaseException as second:
                running.warn(f"on_error {_name(hook)}: {type(second).__name__}: {message_of(second)}")

    # Errors

    def _failed(self, error: BaseException, running: RunningJob, started: int) -> Outcome:
        outcome = verdict_of(error, started)
        if outcome.kind in {"error", "timeout"}:
            self._on_error(running, error)
        warnings = (*running.warnings.messages, *outcome.warnings)
        return outcome._replace(warnings=warnings, notes=running.changed_notes)


def is_command(value: object) -> bool:
    """Tell whether a value is a command as `enqueue` stores it: a text for a shell, or a list of words."""
    return isinstance(value, str) or (
        isinstance(value, list) and bool(value) and all(isinstance(word, str) for word in value)
    )


def _error_of(outcome: Outcome) -> BaseException | None:
    """Return an error with the message of an outcome that is no success; None for a success."""
    return None if outcome.kind in {"success", "warning"} or outcome.error is None else Fail(outcome.error.message)


def _arguments(job: Claimed) -> dict[str, object]:
    """Return the job's arguments. Raises Fail if the row is damaged: a retry would not help."""
    try:
        return serialisation.loads(job.args)
    except InvalidInput as error:
        raise Fail(f"the arguments can't be read: {error}") from None


def _require_readable(retry: str) -> None:
    try:
        overrides(retry)
    except UNREADABLE_OPTIONS as error:
        raise Fail(f"the job's own retry settings can't be read: {error}: {retry[:_SHOWN]}") from None


def _name(hook: Callable[..., object]) -> str:
    return getattr(hook, "__qualname__", repr(hook))


def _facts(job: Claimed) -> dict[str, str]:
    """Return the environment variables that describe the job to a command."""
    facts = {"ID": job.id, "ATTEMPT": job.attempt, "QUEUE": job.queue, "KEY": job.key, "GROUP": job.group}
    known = {f"CRONQ_JOB_{name}": str(value) for name, value in facts.items() if value is not None}
    if job.scheduled_for is not None:
        known["CRONQ_SCHEDULED_FOR"] = job.scheduled_for.partition("[")[0]
    return known


class _Memory:
    """Measures this process: resident memory, its peak, processor time.

    A measurement costs more than a short job takes, so jobs that begin within 5 ms of the last
    measurement share it, and the peak.
    """

    def __init__(self) -> None:
        self._statm = _opened("/proc/self/statm", os.O_RDONLY)
        self._clear = _opened("/proc/self/clear_refs", os.O_WRONLY)
        self._page = os.sysconf("SC_PAGESIZE")
        self._asked = 0
        self._resident: int | None = None
        self._spent = 0.0

    def close(self) -> None:
        """Close its files."""
        for opened in (self._statm, self._clear):
            if opened is not None:
                os.close(opened)
        self._statm = self._clear = None

    def begin(self, now: int) -> int | None:
        """Return the resident bytes at a job's start, None if they can't be read; reset the peak."""
        if now - self._asked > _FRESH or now < self._asked:
            self._asked = now
            if self._clear is not None:
                os.pwrite(self._clear, b"5", 0)
            if self._statm is not None:
                self._resident = int(os.pread(self._statm, 64, 0).split()[1]) * self._page
            self._spent = _processor_time(resource.getrusage(resource.RUSAGE_SELF))
        return self._resident

    def end(self) -> tuple[int, float]:
        """Return the peak in bytes, and the seconds of processor time since the last measurement or end of a job."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        total = _processor_time(usage)
        spent, self._spent = total - self._spent, total
        return usage.ru_maxrss * 1024, round(spent, 6)


def _processor_time(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def _opened(path: str, flags: int) -> int | None:
    try:
        return out_of_the_way(os.open(path, flags | os.O_CLOEXEC))
    except OSError:
        return None
