"""Make the Cronq object with which runners find a Django project's tasks: `app` of the project's configuration.

Importing this module starts Django and imports the project's tasks, so a run imports it only when something is due.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import django
from django.apps import apps
from django.db import connections
from django.utils.module_loading import autodiscover_modules

from cronq.app import Cronq
from cronq.errors import ConfigError
from cronq.tasks.registry import Registry

if TYPE_CHECKING:
    from cronq.django.backend import CronqBackend
    from cronq.notifications.notice import Notice
    from cronq.tasks.registry import Task

if not apps.ready:
    django.setup()

from cronq.django import scheduled, task
from cronq.django.api import task_backends, task_finished
from cronq.django.attempt import task_of
from cronq.django.checks import backends
from cronq.django.signals import send

_UNSEEN = frozenset({"ExecutorDied", "CrashLoop", "LeaseLost", "Killed"})
"""Errors of attempts whose process could not send `task_finished`."""


class ProjectTasks(Registry):
    """The tasks of a Django project, found by importing their path; only instances of Django's Task count."""

    def __init__(self, backend: CronqBackend) -> None:
        super().__init__(backend.config.allow, source="the project's modules (shop.tasks.mail is in shop/tasks.py)")
        self._backend = backend

    def resolve(self, name: str) -> Task:
        """Return the task at this path. Raises UnknownTask if there is none, and the errors of importing its module."""
        if self.get(name) is None:
            try:
                found = task.by_path(name)
            except task.NoTaskError:
                return super().resolve(name)
            self.add(task_of(found, self._backend, self))
        return super().resolve(name)


def ours() -> CronqBackend:
    """Return the backend whose jobs are run: that of `default`, else the first. Raises ConfigError."""
    found = backends()
    if not found:
        raise ConfigError("TASKS has no backend of cronq: BACKEND is to be cronq.django.CronqBackend")
    return next((one for one in found if one.alias == "default"), found[0])


def project(backend: CronqBackend) -> Cronq:
    """Make the Cronq object of a project: import its apps' modules named tasks, and declare their schedules."""
    registry = ProjectTasks(backend)
    made = Cronq(backend.config, registry=registry)
    made.on_notify(_tell_of_unseen_end)
    autodiscover_modules("tasks")
    scheduled.declare_on(made, registry)
    return made


def _tell_of_unseen_end(notice: Notice) -> None:
    """Send `task_finished` for a job that failed for good when its process was killed; called in another process."""
    unseen = notice.error_class in _UNSEEN or (notice.error_class == "TimeLimitExceeded" and not notice.traceback)
    if notice.reason == "failed" and unseen:
        backend = ours()
        send(task_finished, type(backend), backend.get_result(str(notice.job_id)))


def _close_connections(runner: int = os.getpid()) -> None:
    """Close Django's connections before a fork of the runner: a child must not share them."""
    if os.getpid() == runner:
        for connection in connections.all(initialized_only=True):
            if not connection.in_atomic_block:
                connection.close()


os.register_at_fork(before=_close_connections)
queue: Any = project(ours())
"""The Cronq object of the project, for cronq's commands."""

__all__ = ["queue", "task_backends"]
