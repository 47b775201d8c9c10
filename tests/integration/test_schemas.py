"""Two queues in two schemas of one PostgreSQL database: each has locks and journals of its own, or is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from cronq.config.loader import from_database
from cronq.storage.drivers.opening import open_database
from tests import databases, servers
from tests.project import Project
from tests.started import Process
from tests.waiting import wait_until

APP = """\
import time
from cronq import *
from pathlib import Path

queue = Cronq.from_config()
HERE = Path(__file__).parent


@queue.task
def slow(name):
    (HERE / f"begun-{name}").touch()
    while not (HERE / "go").exists():
        time.sleep(0.01)
"""


@pytest.fixture
def url(project: Project) -> Iterator[str]:
    """A database with two schemas, and two users to whom these are the usual ones."""
    servers.require("postgresql")
    server = databases.shared("postgresql")
    name = f"schemas{os.getpid()}"
    server.execute(f"CREATE DATABASE {name}")
    database = open_database(from_database(server.url(name)))
    for schema in ("one", "two"):
        database.execute(f"CREATE SCHEMA {schema}")
        database.execute(f"CREATE ROLE {name}{schema} LOGIN SUPERUSER")
        database.execute(f"ALTER ROLE {name}{schema} SET search_path = {schema}")
    database.close()
    project.write("jobs.py", APP)
    yield server.url(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)", f"DROP ROLE {name}one", f"DROP ROLE {name}two")


def configure(project: Project, name: str, url: str) -> tuple[str, str]:
    """Write a configuration of this name; returns the option that chooses it."""
    project.write(f"{name}.toml", f'database = "{url}"\napp = "jobs:queue"\nlock_dir = "locks"\nlease = "600s"\n')
    return "--config", f"{name}.toml"


def start(project: Project, chosen: tuple[str, str], name: str) -> Process:
    """A run in the middle of a job."""
    assert project.cronq("enqueue", *chosen, "jobs.slow", f"name={name}").status == 0
    runner = project.start("run", *chosen, "--jobs", "1")
    wait_until((project.directory / f"begun-{name}").exists, seconds=60, what=f"job {name} runs")
    return runner


def test_each_schema_has_its_locks_and_journals(project: Project, url: str) -> None:
    one, two = (configure(project, name, f"{url}&options=-csearch_path%3D{name}") for name in ("one", "two"))
    first = start(project, one, "one")
    second = start(project, two, "two")
    first.kill()
    first.communicate()
    (project.directory / "go").touch()
    second.communicate(timeout=60)
    assert second.returncode == 0
    assert project.cronq("run", *two).status == 0
    ran = project.cronq("run", *one)
    assert "job process killed: SIGKILL" in project.cronq("show", *one, "1").stdout, ran
    assert "finished" in project.cronq("show", *two, "1").stdout


def test_schemas_that_only_the_users_tell_apart_are_refused(project: Project, url: str) -> None:
    name = url.rpartition("/")[2].partition("?")[0]
    one, two = (configure(project, who, url.replace("postgres@", f"{name}{who}@")) for who in ("one", "two"))
    (project.directory / "go").touch()
    start(project, one, "one").communicate()
    assert project.cronq("enqueue", *two, "jobs.slow", "name=two").status == 0
    refused = project.cronq("run", *two)
    assert refused.status == 78
    assert "are of the queue in schema one of this database, and this one is in schema two" in refused.stderr
    assert project.cronq("run", *one).status == 0
