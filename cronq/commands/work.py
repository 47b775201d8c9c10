"""`cronq work`: run as a daemon."""

from __future__ import annotations

import sys

from cronq.commands.fast_options import FilterOptions, positive
from cronq.errors import ConfigError
from cronq.times import parse_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, NoReturn

    import typer

    from cronq.commands import Invocation
    from cronq.render.progress import PlainReport
    from cronq.worker import Worker, WorkerLimits


class WorkOptions(FilterOptions):
    """The options of `work` as they were typed."""

    max_jobs: Annotated[str | None, typer.Option(metavar="N", help="Exit after N jobs.")] = None
    max_memory: Annotated[
        str | None, typer.Option(metavar="M", help="Exit when the worker and its children use more, like 512M.")
    ] = None
    max_time: Annotated[
        str | None, typer.Option(metavar="D", help="Start no job after this time, like 6h, and exit.")
    ] = None
    idle_exit: Annotated[str | None, typer.Option(metavar="D", help="Exit after this time without a job.")] = None
    poll: Annotated[str | None, typer.Option(metavar="D", help="Time between two queries without a wake-up (60s).")] = (
        None
    )
    grace: Annotated[
        str | None, typer.Option(metavar="D", help="Time that running jobs get to end after SIGTERM (60s).")
    ] = None
    reload: Annotated[bool, typer.Option(help="Restart when a loaded module's file changes.")] = False

    def limits(self) -> WorkerLimits:
        """Return the limits of the worker. Raises InvalidInput naming the option."""
        from cronq.model.selection import Filter
        from cronq.runner import Plan
        from cronq.worker import WorkerLimits

        plan = Plan(
            self.filter() or Filter(),
            positive(self.jobs, what="--jobs"),
            positive(self.max_jobs, what="--max-jobs"),
            _seconds(self.max_time, "--max-time"),
        )
        usual = WorkerLimits()
        poll, grace = _seconds(self.poll, "--poll"), _seconds(self.grace, "--grace")
        return WorkerLimits(
            plan,
            memory=_bytes(self.max_memory, "--max-memory"),
            idle=_seconds(self.idle_exit, "--idle-exit"),
            poll=usual.poll if poll is None else poll,
            grace=usual.grace if grace is None else grace,
            reload=self.reload,
        )


parse = WorkOptions.read


def execute(invocation: Invocation, options: WorkOptions) -> int:
    """Run the worker until a signal or a limit ends it; call exec after SIGHUP, and after a change with --reload."""
    from cronq.config.loader import require_owner
    from cronq.render.progress import PlainReport
    from cronq.system import first_process

    first_process.go_on_below()
    limits = options.limits()
    require_owner(invocation.config, "work")
    invocation.start_logging(warnings=not invocation.quiet)
    report = PlainReport()
    try:
        worker = _work(invocation, limits, report)
    except ConfigError as error:
        if not (options.reload and error.__cause__):
            raise
        _wait_for_a_change(error, error.__cause__)
    report.done(worker.summary, verbose=invocation.verbose)
    if worker.signals.afresh:
        _start_afresh()
    return 0


def _work(invocation: Invocation, limits: WorkerLimits, report: PlainReport) -> Worker:
    from cronq.config.environment import service_manager
    from cronq.schedules.scheduler import Scheduler
    from cronq.system.systemd import ServiceManager
    from cronq.worker import Worker

    with invocation.cronq(with_tasks=True) as queue:
        service = ServiceManager(*service_manager())
        worker = Worker(queue.store, queue.registry, invocation.config, limits=limits, service=service, report=report)
        worker.schedule_by(Scheduler(queue.store, invocation.config, queue.definitions))
        worker.work()
    return worker


def _wait_for_a_change(error: ConfigError, cause: BaseException) -> NoReturn:
    """Write why the app can't be imported, wait until one of its files is changed, and start afresh."""
    from cronq.render.text import complain
    from cronq.system.sources import Sources, files_of

    complain(f"{error}; waiting for a change")
    Sources(files_of(cause)).wait()
    _start_afresh()


def _start_afresh() -> NoReturn:
    """Call exec to load new code and a new configuration under the same pid."""
    import os

    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _seconds(text: str | None, what: str) -> float | None:
    return None if text is None else parse_duration(text, what=what)


def _bytes(text: str | None, what: str) -> int | None:
    from cronq.config.settings import parse_memory
    from cronq.errors import InvalidInput

    if text is None:
        return None
    try:
        return parse_memory(text)
    except ValueError:
        raise InvalidInput(f"{what}: {text!r} is not an amount of memory such as 512M or 1G") from None
