"""Define the backend for Django's tasks that stores them as jobs of cronq, through Django's own connection."""

from __future__ import annotations

import json
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from asgiref.local import Local
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.utils import timezone

from cronq.client import job_options
from cronq.config import django_project
from cronq.config.loader import from_django
from cronq.django import results, values
from cronq.django.api import BaseTaskBackend, InvalidTask, TaskResultDoesNotExist, TaskResultStatus, task_enqueued
from cronq.django.connection import DjangoDatabase
from cronq.django.signals import send
from cronq.django.task import OPTIONS, CronqTask, NoTaskError, by_path, check, with_values
from cronq.errors import ConfigError, InvalidInput
from cronq.flow import configured
from cronq.model.job import NewJob
from cronq.store import Store
from cronq.tasks import serialisation
from cronq.times import Clock, from_datetime, to_datetime
from cronq.transports.announcer import Announcer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cronq.config.loader import Config
    from cronq.model.job import Claimed, Job
    from cronq.model.limits import Limit
    from cronq.tasks.registry import TaskOptions

_LARGEST_ID = 2**63 - 1
_RETRY = ("base", "cap")


class CronqBackend(BaseTaskBackend):
    """Enqueues tasks with one INSERT on Django's connection of the alias: part of the caller's transaction.

    OPTIONS takes `database` (an alias of DATABASES), `url` (of the same database for workers, where cronq can't
    make it from DATABASES), the keys of [retry], and every key of cronq.toml but `database` and `app`.
    """

    task_class = CronqTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        super().__init__(alias, params)
        self._local = Local()
        self._templates: dict[Any, NewJob] = {}

    @property
    def where(self) -> str:
        """The place of the options in the settings, which messages name."""
        return f'TASKS["{self.alias}"]["OPTIONS"]'

    @cached_property
    def database(self) -> str:
        """The alias of the database that has the jobs. Raises ImproperlyConfigured."""
        try:
            return django_project.database_of(self.options, where=self.where)
        except ConfigError as error:
            raise ImproperlyConfigured(str(error)) from None

    @property
    def config(self) -> Config:
        """The configuration of runners and of this process, for the database that the alias names now.

        Raises ConfigError.
        """
        database, zone = connections[self.database].settings_dict, django_project.timezone_of(settings)
        given = django_project.values(self.options, database, where=self.where, timezone=zone)
        return from_django(given, origin=self.where)

    @property
    def store(self) -> Store:
        """This thread's store on Django's connection. Raises ImproperlyConfigured for options that are wrong."""
        return self._opened.store

    @property
    def _opened(self) -> _Opened:
        name = connections[self.database].settings_dict["NAME"]
        known: _Opened | None = getattr(self._local, "opened", None)
        if known is None or known.name != name:  # tests change to a database of their own after the start
            known = self._local.opened = self._open(name)
            self._templates.clear()
        return known

    def _open(self, name: object) -> _Opened:
        try:
            config = self.config
        except ConfigError as error:
            raise ImproperlyConfigured(str(error)) from None
        later = partial(transaction.on_commit, using=self.database, robust=True)
        announcer, database = _AfterCommit(config, later), DjangoDatabase(self.database)
        return _Opened(name, config, Store(config, Clock(), announcer, database=database, later=later))

    @property
    def result_limit(self) -> int:
        """The most bytes of a result's JSON."""
        return self._opened.config.result_limit

    # Enqueueing

    def validate_task(self, task: CronqTask) -> None:
        """Raise InvalidTask for a task that this backend can't run."""
        super().validate_task(task)
        if isinstance(task, CronqTask):
            check(task)

    def enqueue(self, task: CronqTask, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Enqueue a task, and return its result: one INSERT in the caller's transaction, a wake-up after its COMMIT.

        Raises InvalidTask for a task of another backend or with wrong options, TypeError for arguments that JSON
        doesn't have, and ImproperlyConfigured for wrong settings and missing tables.
        """
        return self.enqueue_many([(task, args, kwargs)])[0]

    def enqueue_many(self, calls: Iterable[tuple[CronqTask, Sequence[Any], Mapping[str, Any]]]) -> list[Any]:
        """Enqueue tasks, all or none; returns their results in order. Raises as `enqueue`.

        A call whose unique job has a twin gets the result of the twin.
        """
        asked = list(calls)
        jobs = [self._new(*call) for call in asked]
        if not jobs:
            return []
        store = self.store
        now = store.clock.now()
        made = []
        for call, job, new in zip(asked, jobs, store.enqueue(jobs, now=now), strict=True):
            if new.existing:
                made.append(self.get_result(str(new.id)))
                continue
            task = call[0]
            if (job.queue, job.priority) != (task.queue_name, results.NEUTRAL - task.priority):  # by the settings
                task = self._chosen(task, job.priority, job.queue)
            result = results.made(task, new.id, call[1:], now)
            send(task_enqueued, type(self), result)
            made.append(result)
        return made

    def _new(self, task: CronqTask, args: Sequence[Any], kwargs: Mapping[str, Any]) -> NewJob:
        self.validate_task(task)
        if task.backend != self.alias:
            raise InvalidTask(f"{task.module_path} is a task of the backend {task.backend!r}, not {self.alias!r}")
        text = values.stored(args, kwargs)
        due = None if task.run_after is None else _instant(task.run_after)
        job = self._template(task)._replace(args=text, available_at=due)
        return job._replace(limit=self._limit(task, args, kwargs)) if job.task in self._limits else job

    @cached_property
    def _limits(self) -> dict[str, object]:
        """The limit of a task's jobs, by the task's path, as the settings write it."""
        return {path: given["limit"] for path, given in self._opened.config.tasks.items() if "limit" in given}

    def _limit(self, task: CronqTask, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Limit:
        written, named = self._limits[task.module_path], values.named(task, args, kwargs)
        try:
            return configured.resolve(written, named, self._opened.config)
        except ConfigError as error:
            raise ImproperlyConfigured(str(error)) from None
        except InvalidInput as error:
            raise InvalidTask(f"{task.module_path}: {error}") from None

    def _template(self, task: CronqTask) -> NewJob:
        chosen = tuple(getattr(task, name, None) for name in OPTIONS)
        shape = (task.module_path, task.queue_name, task.priority, chosen)
        known = self._templates.get(shape)
        if known is None:
            known = self._made(task)
            if task.key is None if hasattr(task, "key") else True:  # with keys there may be as many templates as jobs
                self._templates[shape] = known
        return known

    def _made(self, task: CronqTask) -> NewJob:
        options, settled, config = declared(task), self._settled(task), self._opened.config
        retry = {
            name: value for name in _RETRY if name not in settled and (value := getattr(options, name)) is not None
        }
        return NewJob(
            task.module_path,
            max_attempts=settled.get("max_attempts") or options.max_attempts or config.retry.max_attempts,
            time_limit=settled.get("time_limit") or options.time_limit,
            queue=settled.get("queue") or task.queue_name,
            priority=settled.get("priority", results.NEUTRAL - task.priority),
            key=getattr(task, "key", None),
            unique=getattr(task, "unique", False),
            group=getattr(task, "group", None),
            retry=json.dumps(retry) if retry else None,
        )

    def _settled(self, task: CronqTask) -> dict[str, Any]:
        """Return the options of this task in the settings, without those that `using(…)` has changed."""
        given = self._opened.config.task_setting(task.module_path)
        if not given:
            return {}
        try:
            written: Any = by_path(task.module_path)
        except NoTaskError:
            written = task
        return {option: value for option, value in given.items() if _field(task, option) == _field(written, option)}

    # Reading

    def get_result(self, result_id: str) -> Any:
        """Return the result with this id. Raises TaskResultDoesNotExist."""
        job = self.store.jobs.get(int(result_id)) if _is_id(result_id) else None
        if job is None:
            raise TaskResultDoesNotExist(result_id)
        return self.result_of(job)

    def result_of(self, job: Job) -> Any:
        """Return a job as a result. Raises TaskResultDoesNotExist if no task of this project made it."""
        try:
            found = by_path(job.task)
        except NoTaskError as error:
            raise TaskResultDoesNotExist(f"{job.id}: {error}") from error
        attempts = self.store.jobs.attempts(job.id)
        run_after = results.when(job.available_at) if job.state == "scheduled" else None
        return results.of(self._chosen(found, job.priority, job.queue, run_after=run_after), job, attempts)

    def begun(self, found: CronqTask, job: Claimed, worker: str) -> Any:
        """Return the result of a job whose first attempt begins, without a query."""
        arguments = values.spread(serialisation.loads(job.args))
        result = results.made(self._chosen(found, job.priority, job.queue), job.id, arguments, job.created_at)
        now = results.when(to_datetime(self.store.clock.now()))
        started = {"status": TaskResultStatus.RUNNING, "started_at": now, "last_attempted_at": now}
        for name, value in started.items():
            object.__setattr__(result, name, value)
        result.worker_ids.append(worker)
        return result

    def _chosen(self, found: CronqTask, priority: int, queue: str, **more: Any) -> CronqTask:
        return with_values(found, priority=results.priority_of(priority), queue_name=queue, backend=self.alias, **more)

    def check(self, **kwargs: Any) -> list[Any]:
        """Return a message for each fault in this backend's settings."""
        from cronq.django.checks import problems

        return [*super().check(**kwargs), *problems(self)]


class _Opened(NamedTuple):
    """The store of one thread on a database of this name, and its configuration."""

    name: object
    config: Config
    store: Store


class _AfterCommit:
    """Wakes workers once the transaction of the caller is committed."""

    def __init__(self, config: Config, later: Callable[[Callable[[], None]], None]) -> None:
        self._later = later
        self._announcer = Announcer(config)
        self.named = self._announcer.named

    def announce(self, jobs: Sequence[tuple[str, int]] = ()) -> None:
        """Wake workers for jobs that are ready, after the COMMIT; not after a ROLLBACK."""
        self._later(partial(self._announcer.announce, jobs))

    def close(self) -> None:
        """Close the announcer's connections."""
        self._announcer.close()


def declared(task: CronqTask) -> TaskOptions:
    """Return the options of a task in the form of cronq's own decorator. Raises ConfigError for a wrong one."""
    given = {name: getattr(task, name, None) for name in ("max_attempts", "time_limit", *_RETRY)}
    return job_options.declared(given, where=task.module_path)


def _field(task: CronqTask, option: str) -> Any:
    return getattr(task, "queue_name" if option == "queue" else option, None)


def _is_id(text: object) -> bool:
    if not isinstance(text, str) or not (text.isascii() and text.isdecimal()) or text.startswith("0"):
        return False
    return len(text) <= len(str(_LARGEST_ID)) and int(text) <= _LARGEST_ID


def _instant(moment: Any) -> int:
    """Return the instant of a time; a naive one is local, which Django allows where USE_TZ is off."""
    return from_datetime(timezone.make_aware(moment) if timezone.is_naive(moment) else moment)
