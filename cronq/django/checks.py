"""Define system checks: for settings that workers can't use, and for missing or old tables."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.utils import DatabaseError, OperationalError

from cronq.config.settings import TASK
from cronq.django.connection import FAMILIES, DjangoDatabase
from cronq.errors import ConfigError
from cronq.flow.configured import configured
from cronq.storage.schema_version import is_current

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cronq.django.backend import CronqBackend

APP_MISSING, OPTIONS_WRONG, QUEUE_WRONG, DATABASE_WRONG = "cronq.E001", "cronq.E002", "cronq.E003", "cronq.E004"
TABLES_OLD, NOT_WAL = "cronq.W001", "cronq.W002"


def backends() -> list[CronqBackend]:
    """Return the project's backends that are cronq's."""
    from cronq.django.api import task_backends
    from cronq.django.backend import CronqBackend

    aliases = getattr(settings, "TASKS", None) or {}
    return [found for alias in aliases if isinstance(found := task_backends[alias], CronqBackend)]


def check_tasks(app_configs: Any = None, **given: Any) -> list[Any]:  # noqa: ARG001 - Django's interface
    """Check the settings of each backend of cronq; Django's own check of tasks may report the same."""
    return [problem for backend in backends() for problem in problems(backend)]


def problems(backend: CronqBackend) -> list[Any]:
    """Return a message for each fault in a backend's settings."""
    return [*_errors(backend)]


def _errors(backend: CronqBackend) -> Iterator[Any]:
    if not apps.is_installed("cronq.django"):
        yield checks.Error(
            "cronq.django is not in INSTALLED_APPS", hint="Add it, then: manage.py migrate", id=APP_MISSING
        )
    for queue in sorted(backend.queues):
        try:
            TASK["queue"].convert(queue, key="QUEUES", where=f'TASKS["{backend.alias}"]')
        except ConfigError as error:
            yield checks.Error(str(error), id=QUEUE_WRONG)
    try:
        if backend.database not in connections:
            hint = f"DATABASES has {', '.join(connections)}"
            yield checks.Error(
                f"{backend.where}: database: there is no {backend.database!r}", hint=hint, id=DATABASE_WRONG
            )
            return
        configured(backend.config)
    except (ConfigError, ImproperlyConfigured) as error:
        yield checks.Error(str(error), id=OPTIONS_WRONG)


def check_database(app_configs: Any = None, databases: Sequence[str] | None = None, **given: Any) -> list[Any]:  # noqa: ARG001 - as above
    """Warn of missing and old tables, and of a SQLite database in which readers and writers wait for each other."""
    return [
        warning
        for backend in backends()
        if not problems(backend) and backend.database in (databases or ())
        for warning in _warnings(backend.database, backend.config.table_prefix)
    ]


def _warnings(alias: str, prefix: str) -> Iterator[Any]:
    connection = connections[alias]
    if connection.vendor not in FAMILIES:
        return
    try:
        current = is_current(DjangoDatabase(alias), prefix)
    except ConfigError as error:
        yield checks.Warning(str(error), id=TABLES_OLD)
        return
    except (OperationalError, DatabaseError):
        return  # Django itself reports that the database is unreachable
    if not current and "migrate" not in sys.argv[1:2]:  # this command is about to make them
        yield checks.Warning(
            f'cronq\'s tables in DATABASES["{alias}"] are missing or of an older cronq',
            hint="manage.py migrate",
            id=TABLES_OLD,
        )
    if connection.vendor == "sqlite" and not connection.is_in_memory_db() and _journal(connection) != "wal":
        yield checks.Warning(
            f'the SQLite file of DATABASES["{alias}"] is not in WAL mode: requests and workers wait for each other',
            hint='"OPTIONS": {"init_command": "PRAGMA journal_mode=WAL;", "transaction_mode": "IMMEDIATE"}',
            id=NOT_WAL,
        )


def _journal(connection: Any) -> str:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        return str(cursor.fetchone()[0])
