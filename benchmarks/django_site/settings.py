"""A Django project with a backend of cronq and one of django-tasks-db, on one SQLite file with the same durability."""

import os
from importlib.util import find_spec

SECRET_KEY = "for benchmarks"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    *([] if find_spec("django.tasks") else ["django_tasks"]),
    "django_tasks_db",
    "cronq.django",
    "nothing",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": f"{os.environ['BENCH_PLACE']}/site.sqlite3",
        "OPTIONS": {
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
        },
    }
}
TASKS = {
    "default": {"BACKEND": "cronq.django.CronqBackend"},
    "peer": {"BACKEND": "django_tasks_db.DatabaseBackend"},
}
LOGGING = {"version": 1, "disable_existing_loggers": True}
