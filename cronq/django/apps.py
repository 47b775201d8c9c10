"""The app `cronq.django`: checks, and where the jobs are."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.db import connections
from django.db.models.signals import post_migrate

from cronq.config import django_project

PREFIX = "cronq_"


class CronqConfig(AppConfig):
    """cronq in a Django project."""

    name = "cronq.django"
    label = "cronq"
    verbose_name = "cronq"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks; Django's own of tasks comes only when its tasks are imported."""
        from cronq.django.checks import check_database, check_tasks

        checks.register(check_tasks)
        checks.register(check_database, checks.Tags.database)
        post_migrate.connect(self._after_flush, sender=self)

    @property
    def options(self) -> Any:
        """OPTIONS of the backend in TASKS; empty without one."""
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
        """What the names of cronq's tables begin with."""
        return str(self.options.get("table_prefix", PREFIX))

    def _after_flush(self, using: str, **given: Any) -> None:
        if "plan" in given or using != self.database:  # `migrate` says what it did, `flush` has no plan
            return
        from cronq.django.tables import empty

        empty(connections[using], self.table_prefix)
