"""Code of another user is never imported because a command was started in their directory."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.project import Project

SPY = "open('imported', 'w').close()\nraise SystemExit\n"
COMMANDS = (("enqueue", "say", "text=x"), ("doctor",), ("doctor", "--json"), ("run",), ("ls",))


@pytest.fixture
def spied(project: Project) -> Project:
    """A project whose app leaves a trace when it is imported."""
    project.write("jobs.py", SPY)
    return project


def imported(project: Project) -> bool:
    return (project.directory / "imported").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["cronq.toml", "pyproject.toml"])
@pytest.mark.parametrize("command", COMMANDS)
def test_in_a_directory_of_another_user(command: tuple[str, ...], name: str, spied: Project) -> None:
    if name == "pyproject.toml":
        (spied.directory / "cronq.toml").unlink()
        spied.write(name, '[tool.cronq]\napp = "jobs:queue"\n')
    os.chown(spied.directory, 4242, 4242)
    ran = spied.cronq(*command)
    assert ran.status == (1 if command[0] == "doctor" else 78)
    assert f"belongs to the user 4242; if this configuration is meant, name it: --config {spied.directory}/{name}" in (
        ran.stdout + ran.stderr
    )
    assert not imported(spied)


@pytest.mark.parametrize("command", COMMANDS)
def test_one_s_own_config_in_a_directory_that_others_write(command: tuple[str, ...], spied: Project) -> None:
    spied.directory.chmod(0o1777)
    ran = spied.cronq(*command)
    assert ran.status == (1 if command[0] == "doctor" else 78)
    assert "others can write to" in ran.stdout + ran.stderr
    assert not imported(spied)


@pytest.mark.parametrize("command", COMMANDS[:4])
def test_a_named_config_with_a_module_that_others_may_have_put_beside_it(
    command: tuple[str, ...], spied: Project
) -> None:
    spied.done("--config", "cronq.toml", "update-schema")
    spied.enqueue("--", "true")
    spied.directory.chmod(0o1777)
    ran = spied.cronq("--config", "cronq.toml", *command)
    assert ran.status == (1 if command[0] == "doctor" else 78)
    assert f"others can write to {spied.directory}, where the modules of the app are looked for" in (
        ran.stdout + ran.stderr
    )
    assert not imported(spied)


def test_an_app_from_the_environment_isn_t_looked_for_among_others_files(spied: Project, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "jobs.py").write_text(SPY)
    foreign.chmod(0o1777)
    ran = spied.cronq("enqueue", "say", "text=x", cwd=foreign, env={"CRONQ_APP": "jobs:queue"})
    assert ran.status == 78
    assert f"not looked for in {foreign}" in ran.stderr
    assert not (foreign / "imported").exists()


def test_one_s_own_is_imported(project: Project) -> None:
    assert project.enqueue("say", "text=x") == 1
    assert project.cronq("enqueue", "say", "text=x", env={"CRONQ_CONFIG": "cronq.toml"}).status == 0


@pytest.mark.parametrize(("mode", "state"), [(0o755, "finished"), (0o1777, "waiting")])
def test_a_module_of_allow_beside_the_config(mode: int, state: str, project: Project) -> None:
    config = project.write("cronq.toml", 'database = "sqlite:///cronq.db"\nallow = ["mailer"]\n')
    project.write("mailer.py", "def send(to: str) -> str:\n    return to\n")
    options, elsewhere = ("--config", str(config)), Path("/")
    assert project.cronq(*options, "enqueue", "mailer:send", "to=ann", cwd=elsewhere).stdout == "1\n"
    project.directory.chmod(mode)
    project.cronq(*options, "run", cwd=elsewhere, anew=True)
    assert json.loads(project.cronq(*options, "show", 1, "--json", cwd=elsewhere).stdout)["state"] == state
