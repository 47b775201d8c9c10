"""Check new jobs against the tasks and the config, and enqueue them."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from functools import partial
from logging import INFO
from typing import TYPE_CHECKING, Any

from cronq.client import job_options
from cronq.client.asynchronous import AsyncCalls
from cronq.config.command_permission import require_commands
from cronq.model.job import COMMAND_TASK, SETTINGS, NewJob
from cronq.store import Store
from cronq.system.log import log, step
from cronq.tasks.serialisation import dumps
from cronq.times import Clock
from cronq.transports.announcer import Announcer
from cronq.transports.notifier import CircuitBreakers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cronq.client.declared_schedules import DeclaredSchedule
    from cronq.config.loader import Config
    from cronq.model.batch import NewBatch
    from cronq.model.job import Enqueued, Job
    from cronq.tasks.registry import Registry, Task

    _Known = tuple[Task, tuple[Any, ...]]
    """A registered task, and the values of a job's fields after `args`."""

_inherited: list[Store] = []
"""Stores opened before a fork: SQLite allows the child neither to use nor to close them."""

_NO_OPTIONS: Mapping[str, Any] = {}
_TASK_AND_ARGS = {"task", "args"}
"""The keys of most jobs that are given as dicts."""


class _Opened:
    """The store of one thread, opened in the process `pid`."""

    __slots__ = ("pid", "store")

    def __init__(self, store: Any) -> None:
        self.pid = os.getpid()
        self.store: Store = store


class _ForEachThread(threading.local):
    """Holds a store for each thread."""

    opened: _Opened | None = None


class _ForAll:
    """Holds one substitute for the stores of all threads, in tests."""

    def __init__(self, store: Any) -> None:
        self.opened: _Opened | None = _Opened(store)


class Enqueuer:
    """Enqueues the jobs of one Cronq object, from any thread and after a fork."""

    def __init__(self, config: Config, registry: Registry) -> None:
        self.config = config
        self.registry = registry
        self.schedules: list[DeclaredSchedule] = []
        """The schedules that decorators have declared."""
        self.reading = False
        """Whether the database is only read, so that a missing one isn't created."""
        self.clock = Clock()
        self._templates: dict[str, NewJob] = {}
        self._known: dict[str, _Known] = {}
        self._limits: dict[str, object] = {}
        """The limit of a task's jobs, by the task's name, as it is written: arguments aren't filled in."""
        self._breakers = CircuitBreakers()
        self.calls = AsyncCalls(self)
        """Runs the calls of coroutines in threads."""
        self._local: _ForEachThread | _ForAll = _ForEachThread()

    @property
    def store(self) -> Store:
        """This thread's store, opened at first use."""
        opened = self._local.opened
        if opened is None or opened.pid != os.getpid():
            if opened is not None:
                _inherited.append(opened.store)
            announcer = Announcer(self.config, breakers=self._breakers)
            opened = self._local.opened = _Opened(Store(self.config, self.clock, announcer, reading=self.reading))
        return opened.store

    def configure(self, config: Config, *, clock: Clock | None = None) -> None:
        """Close this thread's connections, and use another config from now on, and another clock if one is given."""
        self.close()
        self._local = _ForEachThread()
        self.config = config
        self.clock = clock or self.clock
        self.registry.allow = config.allow
        self.forget()

    @contextmanager
    def substituted(self, store: Any) -> Iterator[None]:
        """Use a substitute for the store of every thread inside the block."""
        before, self._local = self._local, _ForAll(store)
        try:
            yield
        finally:
            self._local = before

    def close(self) -> None:
        """Close this thread's connections; the next use opens others."""
        opened = self._local.opened
        if opened is not None and opened.pid == os.getpid():
            opened.store.close()

    def forget(self) -> None:
        """Clear the cached templates, after a change of the tasks or their settings."""
        self._templates.clear()
        self._known.clear()
        self._limits.clear()

    def template(self, name: str) -> NewJob:
        """Make a job of this task without arguments, with the settings of the task."""
        found = self._templates.get(name)
        if found is None:
            task = self.registry.get(name)
            found = job_options.template(name, task.options if task else None, self.config)
            self._templates[name] = found
            limit = job_options.limit_of(name, task.options if task else None, self.config)
            if limit is not None:
                self._limits[name] = limit
            elif task:
                self._known[name] = task, found[SETTINGS:]
        return found

    def prepare(
        self, name: str, args: Mapping[str, Any] | None, options: Mapping[str, Any], *, check: bool = True
    ) -> NewJob:
        """Make the job for a task's name and arguments. Raises UnknownTask, InvalidInput, ConfigError."""
        if check and not options and type(name) is str and type(args) is dict:
            known = self._known.get(name)
            if known is not None:
                return _new(known, (), args)
        arguments = job_options.arguments(args)
        if name == COMMAND_TASK:
            return self.prepare_command(arguments.get("command"), options, cwd=arguments.get("cwd"))
        if check and self._knows_tasks():
            arguments = self.registry.resolve(name).bind((), arguments)
        return self.customise(self.template(job_options.task_name(name)), arguments, options)

    def plain(self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]) -> NewJob:
        """Make the job for a task and its arguments, without options. Raises InvalidInput."""
        template = self.template(task.name)
        if task.name in self._limits:
            return self.customise(template, task.bind(args, kwargs), _NO_OPTIONS)
        return _new((task, template[SETTINGS:]), args, kwargs)

    def prepare_command(self, command: object, options: Mapping[str, Any], *, cwd: object = None) -> NewJob:
        """Make the job for a shell command. Raises ConfigError if commands aren't allowed."""
        require_commands(setting=self.config.commands, file=self.config.database_file())
        arguments: dict[str, Any] = {"command": job_options.command_line(command)}
        if cwd is not None:
            arguments["cwd"] = job_options.working_directory(cwd)
        return self.customise(self.template(COMMAND_TASK), arguments, options)

    def prepare_spec(self, spec: Mapping[str, Any], *, check: bool = True) -> NewJob:
        """Make the job for a dict with the keys of `enqueue --stdin`."""
        if type(spec) is dict and spec.keys() == _TASK_AND_ARGS:
            return self.prepare(spec["task"], spec["args"], _NO_OPTIONS, check=check)
        options = job_options.options_of(spec)
        if "command" in spec:
            cwd = spec.get("cwd", (spec.get("args") or {}).get("cwd"))  # in `args`, as `ls --json` writes it
            return self.prepare_command(spec["command"], options, cwd=cwd)
        return self.prepare(spec["task"], spec.get("args"), options, check=check)

    def prepare_all(self, jobs: Iterable[NewJob | Mapping[str, Any]], *, check: bool = True) -> list[NewJob]:
        """Make the jobs of one call, which may come after each other. Raises InvalidInput naming the first bad one."""
        from cronq.client.after import prepared  # here, not above: a run doesn't need it

        return prepared(jobs, self.prepare_spec if check else partial(self.prepare_spec, check=False))

    def prepare_for_event(self, task: Task, event: str, fields: Mapping[str, Any]) -> NewJob:
        """Make the job of a task that subscribed to an event, with the fields that it has parameters for."""
        arguments = task.bind((), task.accepts(fields))
        return self.customise(self.template(task.name), arguments, _NO_OPTIONS)._replace(event=event)

    def customise(self, template: NewJob, arguments: dict[str, Any], options: Mapping[str, Any]) -> NewJob:
        """Make a job from the template, arguments and the caller's options."""
        job = NewJob._make((template.task, dumps(arguments), *template[SETTINGS:]))
        if self._limits or job_options.LIMIT in options:
            job = self._limited(job, arguments, options)
        if not options:
            return job
        # A delay counts from the time of the database's clock.
        now = self.store.tell_time() if "at" in options else self.clock.now()
        return job_options.customise(job, options, now=now)

    def _limited(self, job: NewJob, arguments: Mapping[str, Any], options: Mapping[str, Any]) -> NewJob:
        limit = options.get(job_options.LIMIT) or self._limits.get(job.task)
        if limit is None:
            return job
        from cronq.flow.configured import resolve  # here, not above: most jobs have none

        return job._replace(limit=resolve(limit, arguments, self.config))

    def check_options(self, name: str, options: Mapping[str, Any]) -> None:
        """Raise InvalidInput for options that are wrong for this task."""
        job_options.customise(self.template(name), options, now=self.clock.now())

    def enqueue(self, job: NewJob, connection: Any = None) -> Job:
        """Enqueue one job, in the caller's transaction if a connection is given."""
        if connection is not None:
            return self.enqueue_all((job,), connection)[0]
        now = self.clock.now()
        (new,) = self.store.enqueue((job,))
        if log.isEnabledFor(INFO):
            _tell((job,), (new,))
        return self._twin(job, new, now) if new.existing else job_options.accepted(job, new, now=now)

    def enqueue_chain(self, jobs: Iterable[NewJob], connection: Any = None) -> list[Job]:
        """Enqueue jobs in one transaction, each to start when the one before it has finished."""
        from cronq.client.after import chained  # as above

        return self.enqueue_all(chained(jobs), connection)

    def enqueue_all(self, jobs: Sequence[NewJob], connection: Any = None) -> list[Job]:
        """Enqueue jobs in one transaction, all or none; returns them in order."""
        if not jobs:
            return []
        now = self.clock.now()
        store = self.store
        enqueued = store.enqueue(jobs) if connection is None else store.enqueue_through(connection, jobs)
        return self.accepted(jobs, enqueued, now)

    def accepted(self, jobs: Sequence[NewJob], enqueued: Sequence[Enqueued], now: int) -> list[Job]:
        """Log the new jobs and return them, in order."""
        if log.isEnabledFor(INFO):
            _tell(jobs, enqueued)
        accepted = job_options.accepted
        return [
            self._twin(job, new, now) if new.existing else accepted(job, new, now=now)
            for job, new in zip(jobs, enqueued, strict=True)
        ]

    def open_batch(self, new: NewBatch) -> int:
        """Store a batch with its members and callbacks; returns its id."""
        opened = self.store.batches.open(new)
        if log.isEnabledFor(INFO):
            _tell([*new.jobs, *(job for _, job in new.callbacks)], [*opened.jobs, *opened.callbacks])
        return opened.id

    def _twin(self, job: NewJob, enqueued: Enqueued, now: int) -> Job:
        twin = self.store.jobs.get(enqueued.id)
        if twin is None:
            return job_options.accepted(job, enqueued, now=now)
        return twin._replace(existing=True)

    def _knows_tasks(self) -> bool:
        """Tell whether there are tasks to check names against; a program that only enqueues may have none."""
        return bool(self.config.app or self.config.allow or self.registry.names())


def _new(known: _Known, args: Sequence[Any], kwargs: Mapping[str, Any]) -> NewJob:
    task, settings = known
    # NewJob(…) takes twice as long, and this is done for each job of a program.
    return tuple.__new__(NewJob, (task.name, task.bind_stored(args, kwargs), *settings))


def _tell(jobs: Sequence[NewJob], enqueued: Sequence[Enqueued]) -> None:
    """Log new jobs; jobs in a caller's transaction are logged before its COMMIT."""
    for job, new in zip(jobs, enqueued, strict=True):
        step(new.id, "exists" if new.existing else "enqueued", task=job.task, queue=job.queue)
