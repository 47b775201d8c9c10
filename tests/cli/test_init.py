"""`cronq init` sets up a project, `cronq config` prints what is in force."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from cronq.config.loader import load
from tests.project import CONFIG, Project

APP = "from cronq import Cronq\nqueue = Cronq.from_config()\n"


@pytest.fixture
def empty(project: Project) -> Project:
    """A directory without a configuration or code."""
    for path in project.directory.iterdir():
        if path.is_file():
            path.unlink()
    return project


def written(project: Project) -> dict[str, object]:
    config = load(file=str(project.directory / "cronq.toml"), environ={})
    return {"app": config.app, "database": config.database}


def test_a_new_project_gets_a_file_a_task_and_its_line(empty: Project) -> None:
    said = empty.done("init", "--app", "jobs:queue")
    file = empty.directory / "cronq.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert written(empty) == {"app": "jobs:queue", "database": f"sqlite:///{empty.directory}/cronq.db"}
    assert f" --config {file} run\n" in said
    empty.done("enqueue", "hello", "name=Ann")
    empty.done("run")
    assert empty.done("wait", "1") == '"Hello, Ann"'


def test_what_exists_stays_as_it_is(empty: Project) -> None:
    empty.done("init")
    before = (empty.directory / "cronq.toml").read_text()
    assert "kept" in empty.done("init")
    assert (empty.directory / "cronq.toml").read_text() == before
    refused = empty.cronq("init", "--app", "jobs:queue")
    assert (refused.status, "set `app` in it" in refused.stderr) == (65, True)


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("jobs.py", APP, "jobs:queue"),
        ("shop/queue.py", "import cronq\nqueue: cronq.Cronq = cronq.Cronq()\n", "shop.queue:queue"),
        ("shop/__init__.py", APP, "shop:queue"),
        ("tests/jobs.py", APP, None),
        ("jobs.py", "def make():\n    return Cronq()\n", None),
        ("jobs.py", "queue = Cronq(\n", None),
    ],
)
def test_the_cronq_object_of_the_code_is_found(empty: Project, path: str, text: str, found: str | None) -> None:
    (empty.directory / path).parent.mkdir(exist_ok=True)
    empty.write(path, text)
    empty.done("init")
    assert written(empty)["app"] == found


def test_of_several_cronq_objects_one_is_to_be_chosen(empty: Project) -> None:
    empty.write("a.py", APP)
    empty.write("b.py", APP)
    refused = empty.cronq("init")
    assert (refused.status, refused.stderr) == (
        65,
        "cronq: there are several Cronq objects: choose one with --app: a:queue, b:queue\n",
    )
    assert not (empty.directory / "cronq.toml").exists()
    empty.done("init", "--app", "b:queue")
    assert written(empty)["app"] == "b:queue"


def test_a_database_is_given_as_everywhere(empty: Project) -> None:
    said = empty.done("--db", "mysql+pymysql://shop:secret@db/shop", "init")
    assert "secret" not in said
    assert written(empty)["database"] == "mysql+pymysql://shop:secret@db/shop"
    bad = empty.cronq("--config", "other.toml", "--db", "nosuch://", "init")
    assert (bad.status, Path(empty.directory, "other.toml").exists()) == (78, False)


def test_the_configuration_in_force_is_printed_with_its_origins(project: Project) -> None:
    project.write("cronq.toml", CONFIG + 'sentry = "https://secret@sentry.example.org/1"\n')
    lines = project.done("config").splitlines()
    assert f"database\tsqlite:///{project.directory}/cronq.db\tfile {project.directory}/cronq.toml" in lines
    assert f"sentry\t***\tfile {project.directory}/cronq.toml" in lines
    assert "retry.base\t60.0\tdefault" in lines
    found = {one["key"]: one for one in json.loads(project.done("config", "--json"))}
    assert found["jobs"] == {"key": "jobs", "value": 2, "origin": "default"}


def test_one_value_is_printed_alone(project: Project) -> None:
    assert project.done("config", "get", "jobs") == "2"
    refused = project.cronq("config", "get", "jbos")
    assert (refused.status, refused.stderr) == (65, "cronq: there is no key 'jbos': did you mean 'jobs'?\n")
