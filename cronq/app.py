"""Define `Cronq`, the object with which a program declares tasks, enqueues jobs and reads them."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, Unpack, overload

from cronq.client import app_module, job_options, waiting
from cronq.client.batch_ids import BatchReference
from cronq.client.enqueueing import Enqueuer
from cronq.client.task_handles import ClassTask, FunctionTask, Later
from cronq.config.loader import SCRATCH, from_database, load
from cronq.errors import ConfigError, TryLater, UsageError
from cronq.system.log import log
from cronq.tasks import callables
from cronq.tasks.registry import Registry, Task
from cronq.times import parse_when

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from cronq.client.asynchronous import AsyncCalls
    from cronq.client.batches import Batch, BatchOptions
    from cronq.client.declared_schedules import Scheduled
    from cronq.client.job_options import Declared, Options
    from cronq.client.task_handles import Decorator, Performing
    from cronq.config.loader import Config
    from cronq.model.batch import NewBatch
    from cronq.model.job import Job, NewJob
    from cronq.schedules.definition import Definition
    from cronq.store import Store
    from cronq.times import Clock

P = ParamSpec("P")
R = TypeVar("R")
Hook = TypeVar("Hook", bound="Callable[..., object]")
Handle = TypeVar("Handle", bound="FunctionTask[..., Any] | ClassTask[..., Any]")


class Cronq:
    """The job queue in one database: `Cronq("sqlite:///jobs.db")`, or `Cronq.from_config()`.

    It may be used from several threads and after a fork; each thread has its own connection.
    """

    def __init__(self, database: str | Config, *, registry: Registry | None = None) -> None:
        """`registry` holds tasks that aren't declared with this object, as a framework's. Raises ConfigError."""
        config = from_database(database) if isinstance(database, str) else database
        self.registry = registry or Registry(config.allow)
        self.registry.batch_of = self._batch_of
        self.enqueuer = Enqueuer(config, self.registry)
        """Checks and stores the new jobs of this object."""

    @classmethod
    def from_config(cls, file: str | None = None) -> Cronq:
        """Make a queue from the configuration file given, or from the one that is found.

        In an app that a command loads, the command's configuration is used. Raises ConfigError.
        """
        return cls((file is None and app_module.given.get()) or load(file=file))

    def __repr__(self) -> str:
        return f"Cronq({self.config.safe_database()!r})"

    @property
    def config(self) -> Config:
        """The configuration in use."""
        return self.enqueuer.config

    @property
    def store(self) -> Store:
        """The store of this thread, opened at first use: each thread has its own connection."""
        return self.enqueuer.store

    @property
    def clock(self) -> Clock:
        """The clock by which jobs are due; tests replace it with `configure`."""
        return self.enqueuer.clock

    def configure(self, config: Config, *, clock: Clock | None = None) -> None:
        """Use another config from now on; commands call this, so that --config and --db apply to the app too."""
        self.enqueuer.configure(config, clock=clock)

    def close(self) -> None:
        """Close this thread's connection; the next use opens another one."""
        self.enqueuer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Declaring

    @overload
    def task(  # type: ignore[overload-overlap]  # a class is callable too: the first one is meant
        self, target: type[Performing[P, Any]], /
    ) -> ClassTask[P, Any]: ...
    @overload
    def task(self, target: Callable[P, R], /) -> FunctionTask[P, R]: ...
    @overload
    def task(self, target: None = None, /, *, name: str | None = None, **options: Unpack[Declared]) -> Decorator: ...
    def task(self, target: Any = None, /, *, name: str | None = None, **options: Unpack[Declared]) -> Any:
        """Make a function, or a class with `perform`, a task: it gets `enqueue`, `using` and `job`.

        `name` is `module.function` unless given. The options are defaults: [tasks."name"] in the
        config and the options of a call override them. Raises ConfigError for a bad option or a
        name that is taken.
        """
        if target is None:
            return lambda target: self._declare(target, name, options)
        return self._declare(target, name, options)

    def on(self, *patterns: str) -> Callable[[Handle], Handle]:
        """Make a task run for events: `@queue.on("shot.*")` above `@queue.task`.

        In a pattern `*` stands for one word, `#` for any number of words. Raises ConfigError for a bad pattern.
        """

        def subscribe(handle: Handle) -> Handle:
            task = self.registry.get(getattr(handle, "name", ""))
            if task is None:
                raise ConfigError(f"on: {handle!r} is no task: @queue.on goes above @queue.task")
            for pattern in patterns:
                self.registry.subscribe(pattern, task)
            return handle

        return subscribe

    def cron(
        self, *expressions: str, name: str | None = None, **options: Unpack[Scheduled]
    ) -> Callable[[Handle], Handle]:
        """Enqueue a task at the times of cron expressions: `@queue.cron("30 2 * * *")` above `@queue.task`.

        The schedule is named as the task unless `name` is given. The options are the keys of
        [schedules."name"] in the config. Raises ConfigError for a bad expression, zone or option.
        """
        return self._scheduled({"cron": expressions, **options}, name, "@queue.cron")

    def every(
        self, interval: str | float | timedelta, *, name: str | None = None, **options: Unpack[Scheduled]
    ) -> Callable[[Handle], Handle]:
        """Enqueue a task at an interval (seconds, "15m"): `@queue.every("15m")` above `@queue.task`.

        It counts from `start`, or from 1970-01-01T00:00Z; else as `cron`. Raises ConfigError, also for a bad interval.
        """
        return self._scheduled({"every": interval, **options}, name, "@queue.every")

    def before_job(self, hook: Hook) -> Hook:
        """Call this with the job before each attempt; an error fails the attempt, and the task doesn't start."""
        return self._hook("before_job", hook)

    def after_job(self, hook: Hook) -> Hook:
        """Call this with the job and its result after each success; an error is recorded as a warning."""
        return self._hook("after_job", hook)

    def on_error(self, hook: Hook) -> Hook:
        """Call this with the job and the error of a failed attempt; an error of the hook is recorded as a warning."""
        return self._hook("on_error", hook)

    def job_metadata(self, hook: Hook) -> Hook:
        """Call this with the job before each attempt, and store the dict that it returns with the job."""
        return self._hook("job_metadata", hook)

    def on_child_start(self, hook: Hook) -> Hook:
        """Call this, without arguments, in each child process before its first job: to open connections, say."""
        return self._hook("on_child_start", hook)

    def around_job(self, hook: Hook) -> Hook:
        """Run each attempt inside the context manager that this returns for the running job.

        A generator function counts as one with `contextmanager`. It is entered before `before_job`, and left
        with the error of the attempt, also Skip, Snooze and the time limit. What it raises then fails the attempt.
        """
        return self._around("around_job", hook)

    def around_child(self, hook: Hook) -> Hook:
        """Enter the context manager that this returns in each child process before its first job.

        An asynchronous one is entered on the child's event loop before its first coroutine. Left at the child's end.
        """
        return self._around("around_child", hook)

    def on_notify(self, hook: Hook) -> Hook:
        """Call this with a notice: a job failed for good or keeps failing, or a queue is healthy again."""
        return self._hook("on_notify", hook)

    # Enqueueing

    def enqueue(
        self,
        task: str,
        args: Mapping[str, Any] | None = None,
        *,
        check: bool = True,
        connection: Any = None,
        **options: Unpack[Options],
    ) -> Job:
        """Enqueue a job by its task's name.

        If tasks are known, raises UnknownTask for another name and InvalidInput for arguments
        that don't fit; `check=False` is for programs that don't have the code.
        `connection` is a SQLAlchemy Connection or Session: the job is part of its transaction.
        """
        job = self.enqueuer.prepare(task, args, options, check=check)
        return self.enqueuer.enqueue(job, connection)

    def command(
        self,
        command: str | Sequence[str],
        *,
        cwd: str | None = None,
        connection: Any = None,
        **options: Unpack[Options],
    ) -> Job:
        """Enqueue a shell command: text for /bin/sh, or a list of program and arguments.

        It runs in the directory `cwd`, an absolute path; without one, in the runner's.
        Raises ConfigError if the config doesn't allow commands.
        """
        return self.enqueuer.enqueue(self.enqueuer.prepare_command(command, options, cwd=cwd), connection)

    def enqueue_many(
        self, jobs: Iterable[NewJob | Mapping[str, Any]], *, check: bool = True, connection: Any = None
    ) -> list[Job]:
        """Enqueue jobs in one transaction, all or none; returns them in order.

        Each is what `task.job(…)` or `task.using(…).job(…)` returns, or a dict with the keys of
        `cronq enqueue --stdin`. Raises InvalidInput naming the first bad one, counted from 1.
        """
        return self.enqueuer.enqueue_all(self.enqueuer.prepare_all(jobs, check=check), connection)

    def chain(self, *jobs: NewJob, connection: Any = None) -> list[Job]:
        """Enqueue jobs of `task.job(…)` in one transaction, each to start when the one before it has finished."""
        return self.enqueuer.enqueue_chain(jobs, connection)

    def batch(self, name: str | None = None, /, **options: Unpack[BatchOptions]) -> Batch:
        """Make a batch: `with queue.batch("import", on_success=report.job()) as batch: batch.add(…)`.

        It is stored at the end of the block with its jobs, in one transaction; nothing is if the block raises.
        A callback is a job that comes after the batch: `on_success` when all of its jobs have finished,
        `on_failure` if one has failed, `on_end` in any case. With `on_failed="cancel"`, a job that fails
        cancels the others.
        """
        from cronq.client.batches import described  # here, not above: a run doesn't need it

        return self._batch(None, described(name, **options))

    def open_batch(self, name: str | None = None, /, **options: Unpack[BatchOptions]) -> Batch:
        """Store an empty batch, and return it; it takes jobs until it is closed and they have ended. See `batch`."""
        from cronq.client.batches import described  # as above

        return self._batch(self.enqueuer.open_batch(described(name, **options)))

    def get_batch(self, batch_id: int) -> Batch | None:
        """Return the batch with this id, None if there is none."""
        return None if self.store.batches.get(batch_id) is None else self._batch(batch_id)

    def _batch_of(self, job_id: int) -> Batch | None:
        found = self.store.batches.of_job(job_id)
        return found and self._batch(found.id)

    def _batch(self, batch_id: int | None, new: NewBatch | None = None) -> Batch:
        from cronq.client.batches import Batch  # as above

        return Batch(self.enqueuer, batch_id, new)

    def emit(self, event: str, /, **fields: Any) -> list[Job]:
        """Enqueue one job for each task that subscribed, in one transaction.

        A task gets the fields that it has parameters for. Without a subscriber the list is empty,
        and a warning is logged. Raises InvalidInput for a bad name or field.
        """
        tasks = self.registry.subscribers(event, self.config.events)
        if not tasks:
            log.warning("event %s: no task has subscribed", event)
        return self.enqueuer.enqueue_all([self.enqueuer.prepare_for_event(task, event, fields) for task in tasks])

    # From coroutines

    async def aenqueue(
        self,
        task: str,
        args: Mapping[str, Any] | None = None,
        *,
        check: bool = True,
        connection: Any = None,
        **options: Unpack[Options],
    ) -> Job:
        """As `enqueue`, in the queue's own thread; `connection` is an AsyncConnection or AsyncSession.

        If the call is cancelled, the job may be enqueued all the same.
        """
        job = await self._calls.prepare(connection, self.enqueuer.prepare, task, args, options, check=check)
        return (await self._calls.enqueue_all((job,), connection))[0]

    async def aenqueue_many(
        self, jobs: Iterable[NewJob | Mapping[str, Any]], *, check: bool = True, connection: Any = None
    ) -> list[Job]:
        """As `enqueue_many`, in the queue's own thread; `connection` is an AsyncConnection or AsyncSession."""
        new = await self._calls.prepare(connection, self.enqueuer.prepare_all, jobs, check=check)
        return await self._calls.enqueue_all(new, connection)

    async def aemit(self, event: str, /, **fields: Any) -> list[Job]:
        """As `emit`, in the queue's own thread."""
        return await self._calls.make(self.emit, event, **fields)

    async def aget(self, job_id: int) -> Job | None:
        """As `get`, in the queue's own thread."""
        return await self._calls.make(self.get, job_id)

    async def await_result(self, job_id: int, *, timeout: str | float | timedelta | None = None) -> Any:
        """As `wait` for a job, without blocking the event loop."""
        from asyncio import sleep

        for pause in waiting.pauses(timeout):
            await sleep(pause)
            with suppress(TryLater):
                return await self._calls.make(self.wait, job_id, timeout=0)
        return await self._calls.make(self.wait, job_id, timeout=0)

    @asynccontextmanager
    async def alifespan(self) -> AsyncIterator[Self]:
        """Close the queue's own threads and their connections at the end of the block: a web application's lifespan."""
        try:
            yield self
        finally:
            await self._calls.close()

    @property
    def _calls(self) -> AsyncCalls:
        return self.enqueuer.calls

    @property
    def later(self) -> Later:
        """The callables that the config allows, by name; a call of one enqueues a job.

        `queue.later["shop.mailer:Mailer"].send(to="…")` needs `allow = ["shop.mailer"]`.
        """
        return Later(self.enqueuer)

    # Reading and changing jobs

    def get(self, job_id: int) -> Job | None:
        """Return the job with this id, None if there is none."""
        return self.store.jobs.get(job_id)

    def wait(self, what: int | Batch, *, timeout: str | float | timedelta | None = None) -> Any:
        """Wait until the job has finished, and return what its task returned.

        Raises JobFailed (with the `job`) if it failed or was cancelled, JobNotFound if there is
        none, TryLater after `timeout` (seconds, "30s"; None: no limit).
        For a batch, returns the numbers of its members by state, and raises BatchFailed instead of JobFailed.
        """
        if isinstance(what, BatchReference):
            return waiting.counts(self.store, what.id, timeout)
        return waiting.result(self.store, what, timeout)

    def ended(self, job_id: int, *, timeout: str | float | timedelta | None = None) -> Job:
        """Wait until the job has finished, failed or been cancelled, and return it.

        Raises JobNotFound if there is none, TryLater after `timeout` (as in `wait`).
        """
        return waiting.ended(self.store, job_id, timeout)

    def unfinished(self, keys: Iterable[str]) -> set[str]:
        """Return the keys that belong to a job which has not ended."""
        return self.store.jobs.unfinished(keys)

    def cancel(self, job_id: int, *, reason: str | None = None) -> bool:
        """Cancel a job that isn't running; returns False if it runs, has ended or doesn't exist."""
        return bool(self.store.admin.cancel([job_id], reason=reason))

    def retry(self, job_id: int) -> bool:
        """Make an ended job ready again with fresh attempts; returns False if it is due, runs or doesn't exist.

        A scheduled, retrying or waiting job becomes due at once and keeps its attempts.
        Raises InvalidInput if another unfinished job has its unique key.
        """
        return bool(self.store.admin.retry([job_id]))

    def definitions(self) -> list[Definition]:
        """Return the schedules that the config and the decorators declare, by name. Raises ConfigError."""
        if not (self.config.schedules or self.enqueuer.schedules):
            return []
        from cronq.client.declared_schedules import definitions  # here, not above: it imports cronsim and zoneinfo

        return definitions(self.enqueuer)

    def fire_until(self, at: str | datetime | timedelta | float) -> int:
        """In tests, within `with scratch(queue):`, decide every due time up to this one; returns the number of jobs.

        Nothing sleeps: a ManualClock is set to each due time in turn. Schedules begin with the first call, from
        the clock's time. Raises UsageError outside of `scratch`: it would enqueue real jobs there.
        """
        if self.config.origins["database"] != SCRATCH:
            raise UsageError("fire_until is for use within `with scratch(queue):`, it would enqueue real jobs here")
        from cronq.schedules.in_tests import fire_until  # as above

        until = parse_when(at, now=self.clock.now(), what="fire_until")
        return fire_until(self.store, self.definitions(), until, self.clock)

    def _scheduled(self, table: Mapping[str, Any], name: str | None, decorator: str) -> Callable[[Handle], Handle]:
        from cronq.client.declared_schedules import declaring  # as above

        return declaring(self.enqueuer, name, table, decorator)

    def _declare(self, target: Any, name: str | None, options: Mapping[str, Any]) -> Any:
        found = callables.of(target)
        full_name = name or callables.default_name(target)
        declared = job_options.declared(options, where=f"task {full_name}")
        task = self.registry.add(Task(full_name, found, declared))
        self.enqueuer.forget()
        if isinstance(target, type):
            return ClassTask(self.enqueuer, task, target)
        return FunctionTask(self.enqueuer, task, target)

    def _hook(self, moment: str, hook: Hook) -> Hook:
        self.registry.hooks[moment].append(hook)
        return hook

    def _around(self, moment: str, hook: Hook) -> Hook:
        self._hook(moment, callables.as_manager(hook))
        return hook


def load_app(config: Config) -> Cronq:
    """Import the Cronq object that `app` in the config names; without `app`, make one without tasks.

    Modules, also those of `allow`, are looked for first in the directory of the config file, or else
    in the current one, unless other users can write there. Raises ConfigError with the module and the reason.
    """
    at_hand = app_module.at_hand.get()
    if isinstance(at_hand, Cronq):
        return at_hand
    if config.app is None:
        app_module.look_beside(config)
        return Cronq(config)
    found = app_module.load(config.app, config)
    found = getattr(found, "extensions", {}).get("cronq", found)  # where a Flask application keeps it
    if not isinstance(found, Cronq):
        raise ConfigError(f"app = {config.app!r}: is not a Cronq object")
    found.configure(config)
    if found.config.database != config.database:
        there, here = found.config.safe_database(), config.safe_database()
        problem = f"the application's queue is in {there}, this command's in {here}"
        raise ConfigError(f"app = {config.app!r}: {problem}: put `database` into cronq.toml, or use `flask cronq`")
    return found
