"""`cronq run`: run all due jobs until none is due.

Cron starts it each minute. While nothing is due it must not import typer, rich, pydantic
or SQLAlchemy.
"""

from __future__ import annotations

import sys

from cronq.commands.fast_options import FilterOptions, positive
from cronq.errors import CronqError, Unavailable, status_of
from cronq.times import SECOND, Clock, iso, parse_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Annotated, Self

    import typer

    from cronq.commands import Invocation
    from cronq.execution.results import Summary
    from cronq.locks import RunLock
    from cronq.model.selection import Filter
    from cronq.notifications.ping import Pinged
    from cronq.store import Store

_PATIENCE = 3.0
"""Seconds for which a run tries to write its end to an unreachable or locked database."""


class RunOptions(FilterOptions):
    """The options of `run` as they were typed."""

    limit: Annotated[str | None, typer.Option(metavar="N", help="Stop after N jobs.")] = None
    max_time: Annotated[str | None, typer.Option(metavar="D", help="Start no job after this time, like 50s.")] = None
    fail: Annotated[bool, typer.Option(help="Exit 1 when a job failed for good.")] = False


parse = RunOptions.read


def execute(invocation: Invocation, options: RunOptions) -> int:
    """Take the lock, check for due jobs, and import the rest only if there are some."""
    from cronq.config.loader import require_owner
    from cronq.locks import RunLock
    from cronq.storage.idle_check import anything_to_do, is_declared

    chosen = options.filter()
    plan = _Plan(options)
    invocation.schedules = False  # to read 500 of them would take a tenth of an idle run
    config = invocation.config
    require_owner(config, "run")
    filters, queues = ("", "") if chosen is None else (str(chosen), " ".join(chosen.queues))
    with RunLock(config, filters=filters, queues=queues) as lock:
        if not lock.acquired:
            _name_holder(invocation, lock)
            return 0
        with _Recorded(invocation, lock) as recorded, _pinged(invocation) as pinged:
            if is_declared(config) and not anything_to_do(config, Clock()):
                _tell_terminal(invocation, "nothing is due")
                return 0
            config.read_schedules()
            pinged.begins()
            summary = _work(invocation, chosen, plan, recorded)
            pinged.status = 1 if options.fail and summary.failed else 0
    return pinged.status


class _Recorded:
    """Records the end of a run: in its lock file; in the database too if it failed, did jobs, or follows a failure."""

    def __init__(self, invocation: Invocation, lock: RunLock) -> None:
        self._invocation = invocation
        self._lock = lock
        self._told = False

    def __enter__(self) -> Self:
        return self

    def worked(self, store: Store) -> None:
        """Record the end of a run that has done the due jobs."""
        self._told = True
        from cronq.storage.run_history import LastRun

        store.runs.record(LastRun(self._lock.end(0)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            if not self._told:
                self._ended_idle()
        elif isinstance(error, Exception):
            self._failed(error)

    def _ended_idle(self) -> None:
        text = self._lock.end(0)
        if any(self._lock.before.split("\n")[3:]):  # else the database would still have the error of the run before
            self._write(text)

    def _failed(self, error: Exception) -> None:
        from cronq.model.printable import one_line

        status, said = status_of(error)
        try:
            text = self._lock.end(status, one_line(said))
        except CronqError:  # a full disk: the error that ended the run is reported anyway
            return
        if not isinstance(error, Unavailable):
            self._write(text)

    def _write(self, text: str) -> None:
        from cronq.storage.run_history import LastRun
        from cronq.store import Store

        try:
            with Store(self._invocation.config, Clock()) as store:
                store.set_patience(_PATIENCE)
                store.runs.record(LastRun(text))
        except CronqError:
            return  # the lock file has the end of the run


class _Unpinged:
    """A stand-in for `Pinged` if no ping is configured."""

    status = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begins(self) -> None:
        """Do nothing."""


def _pinged(invocation: Invocation) -> Pinged | _Unpinged:
    if invocation.config.ping is None:
        return _Unpinged()
    from cronq.notifications.ping import Pinged

    return Pinged(invocation.config.ping, invocation.start_logging)


class _Plan:
    """The options that are numbers or durations, parsed. Raises InvalidInput naming the option."""

    def __init__(self, options: RunOptions) -> None:
        self.children = positive(options.jobs, what="--jobs")
        self.limit = positive(options.limit, what="--limit")
        self.seconds = None if options.max_time is None else parse_duration(options.max_time, what="--max-time")


def _work(invocation: Invocation, chosen: Filter | None, plan: _Plan, recorded: _Recorded) -> Summary:
    from cronq.model.selection import Filter
    from cronq.render.progress import reporter
    from cronq.runner import Plan, Runner
    from cronq.schedules.scheduler import Scheduler

    with invocation.cronq(with_tasks=True) as queue, reporter(quiet=invocation.quiet) as report:
        runner = Runner(
            queue.store,
            queue.registry,
            invocation.config,
            plan=Plan(chosen or Filter(), plan.children, plan.limit, plan.seconds),
            report=report,
        )
        runner.schedule_by(Scheduler(queue.store, invocation.config, queue.definitions))
        summary = runner.run()
        recorded.worked(queue.store)
        report.done(summary, verbose=invocation.verbose)
    return summary


def _tell_terminal(invocation: Invocation, text: str) -> None:
    watched = sys.stderr is not None and sys.stderr.isatty() and not invocation.quiet
    if invocation.verbose or watched:
        sys.stderr.write(f"cronq: {text}\n")


def _name_holder(invocation: Invocation, lock: RunLock) -> None:
    if not invocation.verbose:
        return
    who = "unknown process"
    if lock.holder is not None:
        pid, started = lock.holder
        age = (Clock().now() - started) // SECOND
        who = f"process {pid}, since {age} s ({iso(started)})"
    sys.stderr.write(f"cronq: another run holds the lock: {who}\n")
