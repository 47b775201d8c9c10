"""What --json prints is what the schemas in docs/ say."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema
import pytest
import typer
from referencing import Registry, Resource

from cronq.commands.program import program
from tests.cli.documents import every_command
from tests.project import ROOT, Project
from tests.waiting import wait_until

SCHEMAS = ROOT / "docs" / "schemas"
GROUP: Any = typer.main.get_command(program())


@cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    schemas = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
    registry: Any = Registry().with_resources(
        [(key, Resource.from_contents(schema)) for key, schema in schemas.items()]
    )
    return jsonschema.Draft202012Validator(schemas[name], registry=registry)


def fits(name: str, printed: str) -> Any:
    """The document, which must be as the schema says."""
    document = json.loads(printed)
    problems = [f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(document)]
    assert not problems, problems
    return document


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.name)
def test_a_schema_is_one(path: Any) -> None:
    schema = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == path.name
    assert f"(schemas/{path.name})" in (ROOT / "docs" / "json.md").read_text()


def test_every_command_that_prints_json_has_a_schema() -> None:
    printing = {name for name, command in every_command(GROUP) if any("--json" in p.opts for p in command.params)}
    assert {f"{name.replace(' ', '-')}.json" for name in printing} <= {path.name for path in SCHEMAS.glob("*.json")}


def test_a_schema_refuses_what_is_missing_or_too_much() -> None:
    with pytest.raises(AssertionError, match="'why' is a required property"):
        fits("why.json", '{"id": 1, "state": "ready"}')
    with pytest.raises(AssertionError, match="was unexpected"):
        fits("why.json", '{"id": 1, "state": "ready", "why": "", "extra": 1}')


def test_jobs_in_every_state_of_mind(project: Project) -> None:
    app = project.directory / "jobs.py"
    app.write_text(f'{app.read_text()}\nqueue.on("shot.*")(say)\n')
    fits("enqueue.json", project.done("enqueue", "--json", "add", "a=1", "b=2", "--key", "k", "--unique"))
    assert fits("enqueue.json", project.done("enqueue", "--json", "add", "a=1", "b=2", "--key", "k", "--unique"))[
        "existing"
    ]
    lines = '{"command": "exit 75"}\n{"command": ["sh", "-c", "kill -9 $$"], "group": "g"}\n{"task": "give-up"}\n'
    fits("enqueue.json", project.done("enqueue", "--stdin", "--json", stdin=lines + '{"task": "break", "at": "+1h"}'))
    assert fits("emit.json", project.done("emit", "shot.start", "text=x", "--json"))
    project.cronq("run")
    project.enqueue("say", "text=x", "--group", "g")
    jobs = fits("ls.json", project.done("ls", "--json"))
    assert {"finished", "waiting", "retrying", "failed", "scheduled", "blocked"} <= {job["state"] for job in jobs}
    for job in jobs:
        fits("show.json", project.done("show", job["id"], "--json"))
    fits("why.json", project.done("why", 1, "--json"))
    status = fits("status.json", project.done("status", "--json"))
    assert status["totals"]["waiting"] == 1


def test_failures_and_workers(project: Project) -> None:
    project.enqueue("give-up")
    project.cronq("run")
    assert fits("errors.json", project.done("errors", "--json"))
    project.enqueue("--", "while [ ! -e go ]; do sleep 0.05; done")
    with project.start("run"):
        wait_until(lambda: project.state(2) == "running")
        wait_until(lambda: any(one["jobs"] for one in fits("workers.json", project.done("workers", "--json"))))
        assert fits("status.json", project.done("status", "--json"))["workers"]
        (project.directory / "go").touch()


def test_the_configuration_in_force(project: Project) -> None:
    assert fits("config.json", project.done("config", "--json"))
    assert fits("config-get.json", project.done("config", "get", "jobs", "--json"))["value"] == 2


def test_doctor_well_and_ill(project: Project) -> None:
    fits("doctor.json", project.done("doctor", "--json"))
    project.write("cronq.toml", 'database = "sqlite:///none/cronq.db"\nwake = "tcp://127.0.0.1:1"\n[events]\na = "b"')
    ran = project.cronq("doctor", "--json")
    assert ran.status == 1
    assert fits("doctor.json", ran.stdout)["status"] == "problem"
    project.write("cronq.toml", "nonsense")
    ran = project.cronq("doctor", "--json")
    assert (ran.status, fits("doctor.json", ran.stdout)["config"]) == (1, [])
