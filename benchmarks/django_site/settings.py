"""Set up a Django project with each installed backend, on one SQLite file with the same durability."""

import os
from importlib.util import find_spec

SECRET_KEY = "for benchmarks"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PEERS = {
    "django-tasks-db": ("django_tasks_db", "django_tasks_db.DatabaseBackend"),
    "django-ox": ("django_ox", "django_ox.backend.OxBackend"),
}
PEERS_HERE = {name: peer for name, peer in PEERS.items() if find_spec(peer[0])}
INSTALLED_APPS = [
    *([] if find_spec("django.tasks") else ["django_tasks"]),
    *(app for app, _ in PEERS_HERE.values()),
    "cronq.django",
    "nothing",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": f"{os.environ['BENCH_PLACE']}/site.sqlite3",
        "CONN_MAX_AGE": None,  # opening and closing a connection would cost more than all else
        "OPTIONS": {
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
        },
    }
}
TASKS = {
    "default": {"BACKEND": "cronq.django.CronqBackend"},
    **{name: {"BACKEND": backend} for name, (_, backend) in PEERS_HERE.items()},
}
ROOT_URLCONF = "nothing.views"
ALLOWED_HOSTS = ["*"]
LOGGING = {"version": 1, "disable_existing_loggers": True}
