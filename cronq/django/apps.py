"""Define the Django app `cronq.django`: its checks, and the database and tables that have the jobs."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.db import connections
from django.db.models.signals import post_migrate

from cronq.config import django_project

PREFIX = "cronq_"


class CronqConfig(AppConfig):
    """The app that a project names in INSTALLED_APPS."""

    name = "cronq.django"
    label = "cronq"
    verbose_name = "cronq"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks. Django registers its own check of tasks only when its tasks are imported."""
        from cronq.django.checks import check_database, check_tasks

        checks.register(check_tasks)
        checks.register(check_database, checks.Tags.database)
        post_migrate.connect(self._after_flush, sender=self)

    @property
    def options(self) -> Any:
        """The OPTIONS of cronq's backend in TASKS; empty without one."""
        from django.conf import settings

        backends = getattr(settings, "TASKS", None) or {}
        alias = django_project.alias_of(backends)
        return {} if alias is None else backends[alias].get("OPTIONS") or {}

    @property
    def database(self) -> str:
        """The alias of the database that has the jobs."""
        return str(self.options.get("database", "default"))

    @property
    def table_prefix(self) -> str:
        """The beginning of the names of cronq's tables."""
        return str(self.options.get("table_prefix", PREFIX))

    def _after_flush(self, using: str, **given: Any) -> None:
        if "plan" in given or using != self.database:  # sent by `migrate`, which passes its plan; `flush` passes none
            return
        from cronq.django.tables import empty

        empty(connections[using], self.table_prefix)
