"""System checks name what workers couldn't use, and times are local and naive where the project's are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cronq.config.django_project import IN_MEMORY, url_of
from cronq.errors import ConfigError
from tests.django.sites import Site, migrated


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"jbos": 3}, "cronq.E002"),
        ({"app": "shop:queue"}, "leave app out"),
        ({"max_attempts": 0}, "retry.max_attempts"),
        ({"database": "nowhere"}, "cronq.E004"),
        ({"database": 3}, "expected an alias"),
        ({"limits": {"smtp": "many"}}, "limits.smtp: expected a whole number"),
    ],
)
def test_wrong_options_are_errors(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    said = Site(tmp_path, **options).manage("check", status=1)
    assert told in said
    assert "Traceback" not in said


def test_right_options_reach_runners(tmp_path: Path) -> None:
    site = Site(tmp_path, jobs=1, max_attempts=3, retry={"base": "5s"}, time_limit="1m", table_prefix="jobs_")
    assert "no issues" in site.manage("check")
    site.manage("migrate", "-v0")
    site.python("from shop.tasks import add; add.enqueue(1)")
    (line,) = site.cronq("ls", "--json").split("\n]")[0].split('"max_attempts": ')[1:]
    assert line.startswith("3")


@pytest.mark.parametrize(
    ("setting", "options", "zone"),
    [
        ('TIME_ZONE = "Europe/Prague"', {}, "Europe/Prague"),
        ('TIME_ZONE = "Europe/Prague"', {"timezone": "Asia/Tokyo"}, "Asia/Tokyo"),
        ("", {}, "UTC"),
    ],
)
def test_schedules_are_in_the_projects_time_zone(
    tmp_path: Path, setting: str, options: dict[str, Any], zone: str
) -> None:
    site = migrated(tmp_path)
    settings = site.directory / "settings.py"
    settings.write_text(settings.read_text().replace('TIME_ZONE = "Europe/Prague"', setting))
    nightly = {"task": "shop.tasks.add", "args": {"a": 1}, "cron": "30 2 * * *"}
    site.options = {"schedules": {"nightly": nightly}, **options}
    site.cronq("run")
    for told in (site.cronq("schedules", "--json"), site.manage("cronq", "schedules", "--json")):
        (schedule,) = json.loads(told)
        assert schedule["timezone"] == zone


TASKS = """
from cronq.django.scheduled import cron, every
@cron("0 6 * * *", args={"value": 1})
@task
def nightly(value): ...
@every("15m", name="often")
@task
def tidy(): ...
"""


def test_schedules_stand_above_tasks(tmp_path: Path) -> None:
    site = migrated(tmp_path)
    tasks = site.directory / "shop" / "tasks.py"
    tasks.write_text(f"{tasks.read_text()}{TASKS}")
    assert site.cronq("schedules", "check") == ""
    site.cronq("run")
    told = {one["name"]: one["timezone"] for one in json.loads(site.cronq("schedules", "--json"))}
    assert told == {"shop.tasks.nightly": "Europe/Prague", "often": "Europe/Prague"}
    site.cronq("schedules", "run", "often")
    site.cronq("run")
    (job,) = json.loads(site.cronq("ls", "--json"))
    assert (job["task"], job["state"]) == ("shop.tasks.tidy", "finished")


def test_what_is_missing_is_warned_of(tmp_path: Path) -> None:
    site = Site(tmp_path)
    del site.database["OPTIONS"]["init_command"]
    assert "cronq.W001" in site.manage("check", "--database", "default")
    assert "cronq.W001" not in site.manage("migrate", "-v0")
    said = site.manage("check", "--database", "default")
    assert "cronq.W001" not in said
    assert "cronq.W002" in said


WITHOUT_BACKEND = "from settings import *\nTASKS = {}\n"
WITHOUT_APP = "from settings import *\nINSTALLED_APPS = [app for app in INSTALLED_APPS if app != 'cronq.django']\n"
WHY_IN_ADMIN = """
from django.contrib import admin
from cronq.django.admin import JobAdmin
from cronq.django.models import Job
print(JobAdmin(Job, admin.site).why(Job(id=1)))
"""


def test_a_project_without_the_backend_or_the_app_is_told_what_to_add(tmp_path: Path) -> None:
    site = Site(tmp_path)
    for name, text in {"no_backend": WITHOUT_BACKEND, "no_app": WITHOUT_APP}.items():
        (site.directory / f"{name}.py").write_text(text)
    told = 'TASKS has no backend of cronq: {"default": {"BACKEND": "cronq.django.CronqBackend"}}'
    said = site.manage("cronq", "enqueue", "--", "true", status=78, DJANGO_SETTINGS_MODULE="no_backend")
    assert said == f"cronq: no_backend: {told}\n"
    assert site.python(WHY_IN_ADMIN, DJANGO_SETTINGS_MODULE="no_backend") == told
    said = site.python("from shop.tasks import add; add.enqueue(1)", status=1, DJANGO_SETTINGS_MODULE="no_app")
    assert 'add "cronq.django" to INSTALLED_APPS, then: manage.py migrate' in said


def test_times_are_naive_and_local_where_the_projects_are(tmp_path: Path) -> None:
    code = """
import datetime
from cronq.django.testing import run_tasks
from shop.tasks import add
now = datetime.datetime.now()
later = add.using(run_after=now + datetime.timedelta(hours=1)).enqueue(1)
assert add.get_result(later.id).task.run_after == now + datetime.timedelta(hours=1)
due = add.using(run_after=now - datetime.timedelta(hours=1)).enqueue(1)
assert [one.id for one in run_tasks()] == [due.id]
due.refresh()
for moment in (due.enqueued_at, due.started_at, due.finished_at):
    assert moment.tzinfo is None and abs(moment - now) < datetime.timedelta(minutes=10), moment
print("done")
"""
    site = migrated(tmp_path)
    assert site.python(code, SITE_USE_TZ="0", TZ="Europe/Prague") == "done"


@pytest.mark.parametrize(
    ("database", "url"),
    [
        ({"ENGINE": "django.db.backends.sqlite3", "NAME": Path("/srv/shop.db")}, "sqlite:////srv/shop.db"),
        ({"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}, IN_MEMORY),
        ({"ENGINE": "django.db.backends.sqlite3", "NAME": "file:memorydb_default?mode=memory"}, IN_MEMORY),
        (
            {"ENGINE": "django.db.backends.mysql", "NAME": "shop", "USER": "ann", "PASSWORD": "a@/b", "HOST": "db",
             "PORT": 3307, "OPTIONS": {"charset": "utf8mb4", "ssl": {"ca": "/ca.pem"}}},
            "mysql+pymysql://ann:a%40%2Fb@db:3307/shop?ssl_ca=/ca.pem",
        ),
        (
            {"ENGINE": "django.db.backends.mysql", "NAME": "shop", "HOST": "db", "OPTIONS": {"ssl_disabled": True}},
            "mysql+pymysql://db/shop?ssl_disabled=true",
        ),
        (
            {"ENGINE": "django.db.backends.mysql", "NAME": "shop", "HOST": "/run/mysqld/mysqld.sock"},
            "mysql+pymysql:///shop?unix_socket=/run/mysqld/mysqld.sock",
        ),
        (
            {"ENGINE": "django.contrib.gis.db.backends.postgis", "NAME": "shop", "USER": "ann", "HOST": "::1",
             "OPTIONS": {"sslmode": "require", "pool": True}},
            "postgresql+psycopg://ann@[::1]/shop?sslmode=require",
        ),
        ({"ENGINE": "django_prometheus.db.backends.mysql", "NAME": "shop"}, "mysql+pymysql:///shop"),
    ],
)  # fmt: skip
def test_urls_for_workers(database: dict[str, Any], url: str) -> None:
    assert url_of(database, where="here") == url


@pytest.mark.parametrize(
    ("database", "told"),
    [
        ({"ENGINE": "django.db.backends.oracle", "NAME": "x"}, "oracle"),
        ({"ENGINE": "django.db.backends.postgresql"}, "NAME"),
        ({"ENGINE": "mysql", "NAME": "x", "OPTIONS": {"read_default_file": "/my.cnf"}}, "read_default_file"),
    ],
)  # fmt: skip
def test_databases_that_workers_cant_use_are_named_with_the_way_out(database: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        url_of(database, where="here")
    assert 'set "url"' in str(refused.value)


def test_the_core_imports_nothing_of_django(tmp_path: Path) -> None:
    code = "import sys, cronq, cronq.cli, cronq.store, cronq.testing; print([m for m in sys.modules if 'django' in m])"
    assert Site(tmp_path).programs.anew("-c", code).stdout.strip() == "[]"
