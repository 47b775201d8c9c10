"""Starting costs what the work needs: asserted on what was imported, not on milliseconds."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.project import CONFIG, Project

HEAVY = {"typer", "rich", "pydantic", "sqlalchemy", "alembic", "filelock"}
SLOW = {
    *("typing", "json", "re", "inspect", "dataclasses", "enum", "logging", "pathlib", "argparse", "tomllib"),
    *("datetime", "sqlite3"),
}
"""Modules of Python's own that together take as long as all the rest of a start."""

SCHEDULE = """\
timezone = "Europe/Prague"
[schedules."add"]
cron = "0 0 1 1 *"
[schedules."add".args]
a = 1
b = 2
"""

PROGRAM = """\
import sys
from cronq.cli import main
status = main(sys.argv[1:])
print("|", status, *sorted(sys.modules))
"""


def python(project: Project, program: str, *arguments: str, line: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program in the project with a Python that is started for it, and has imported nothing itself."""
    return subprocess.run(
        [sys.executable, "-S", "-c", PATH + program, *arguments],
        cwd=project.directory,
        env=project.environment,
        input=line,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def imported(project: Project, *arguments: str) -> set[str]:
    """The modules that a command had imported when it was done."""
    ran = python(project, PROGRAM, *arguments)
    assert ran.stderr == ""
    status, *modules = ran.stdout.rpartition("|")[2].split()
    assert status == "0", ran
    return set(modules)


# Without -S the interpreter's own site may import anything, an editable installation's finder for one.
PATH = f"import sys; sys.path[:] = {sys.path!r}\n"


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project, not to be changed, where nothing is due."""
    project = Project(tmp_path_factory.mktemp("idle"))
    project.enqueue("--at", "+1h", "--", "true")
    project.done("run")  # once an hour it asks the app for schedules
    return project


@pytest.mark.parametrize("options", [(), ("--jobs=2",), ("--fail",), ("--max-time", "5s")])
def test_run_with_nothing_to_do_imports_next_to_nothing(idle: Project, options: tuple[str, ...]) -> None:
    assert not imported(idle, "run", *options) & (HEAVY | SLOW | {"urllib", "uuid", "apprise", "sentry_sdk"})


def test_run_with_a_filter_and_nothing_to_do_imports_nothing_heavy(idle: Project) -> None:
    assert not imported(idle, "run", "--queue", "mail*", "--priority", "-20") & HEAVY


def test_run_with_schedules_but_nothing_due_imports_next_to_nothing(project: Project) -> None:
    project.write("cronq.toml", CONFIG + SCHEDULE)
    project.done("run")
    assert not imported(project, "run") & (HEAVY | SLOW | {"cronsim", "zoneinfo", "calendar", "hashlib"})


def test_run_with_nothing_to_do_does_not_read_the_schedules(project: Project) -> None:
    tables, _, _ = SCHEDULE.partition('[schedules."add".args]')
    project.write("cronq.toml", f"{CONFIG}{tables}args = {{ a = 1, b = 2 }}\n")
    project.done("run")
    assert "tomllib" not in imported(project, "run")  # which alone reads such a table


def test_run_with_nothing_to_do_does_not_import_the_app(project: Project) -> None:
    project.enqueue("--at", "+1h", "--", "true")
    project.done("run")  # once an hour it asks the app for schedules
    project.write("jobs.py", "raise SystemExit('imported')")
    assert project.cronq("run") == (0, "", "")


def test_run_imports_neither_typer_nor_rich_for_work(project: Project) -> None:
    project.enqueue("add", "a=1", "b=2")
    assert not imported(project, "run") & {"typer", "rich", "sqlalchemy"}
    assert project.show(1)["result"] == 3


UNUSED = {
    *("cronq.client.after", "cronq.client.batches", "cronq.flow", "cronq.notifications.channels"),
    *("cronq.model.batch", "cronq.model.dependencies", "cronq.model.limits", "cronq.model.schedule"),
    *("cronq.schedules.firing", "cronq.storage.schedules", "cronq.storage.reading", "cronq.storage.stats"),
    *("cronq.storage.edit", "cronq.storage.live_output", "cronq.storage.drivers.server"),
    *("socket", "pathlib", "shlex", "urllib.parse", "uuid", "apprise", "sentry_sdk", "cronsim", "zoneinfo"),
}
"""What a run needs only for jobs, schedules, settings or hosts that are out of the ordinary."""


def test_run_with_a_plain_job_imports_only_what_it_uses(project: Project) -> None:
    project.enqueue("add", "a=1", "b=2")
    project.done("run")
    project.enqueue("add", "a=1", "b=2")
    assert not imported(project, "run") & (UNUSED | {"typer", "rich", "pydantic", "sqlalchemy"})
    assert project.show(2)["result"] == 3


SERVE = """\
import os, sys
from cronq.cli import main
written = os.write
def write(fd, data):
    done = written(fd, data)
    if data.startswith((b"OK", b"ERR")):
        os._exit(written(2, " ".join(sorted(sys.modules)).encode()) < 0)
    return done
os.write = write
main(sys.argv[1:])
"""
"""Ends with the answer, and tells what had been imported by then."""


@pytest.mark.parametrize(("line", "said"), [("x", "ERR malformed\n"), ("2", "ERR 2 unknown\n"), ("1", "OK 1\n")])
def test_serve_inetd_answers_before_it_imports_what_takes_time(project: Project, line: str, said: str) -> None:
    project.enqueue("--", "true")
    project.write("jobs.py", "raise SystemExit('imported')")
    ran = python(project, SERVE, "serve-inetd", line=f"{line}\n")
    assert ran.stdout == said
    assert not set(ran.stderr.split()) & (
        HEAVY | SLOW | {"cronq.store", "cronq.execution.engine", "socket", "signal", "random"}
    )


def test_serve_inetd_needs_little_for_a_command(project: Project) -> None:
    project.write("cronq.toml", 'database = "sqlite:///cronq.db"\n')
    project.enqueue("--", "true")
    ran = python(project, PROGRAM, "serve-inetd", line="1\n")
    assert (ran.stdout.splitlines()[0], ran.stderr) == ("OK 1", "")
    assert not set(ran.stdout.split()) & HEAVY
    assert project.show(1)["state"] == "finished"


ENDING = "import gc, sys; from cronq.cli import script; script(); print(gc.get_freeze_count() > 1000, gc.isenabled())"


def test_a_process_of_the_command_ends_without_looking_for_garbage(idle: Project) -> None:
    assert python(idle, ENDING, "run").stdout == "True True\n"


def test_monitors_import_nothing_heavy(idle: Project) -> None:
    assert not imported(idle, "health", "-w", "ready=5") & (HEAVY | {"json", "dataclasses", "logging", "pathlib"})
    assert not imported(idle, "metrics") & (HEAVY | {"json", "dataclasses", "logging", "pathlib"})


def test_work_imports_neither_typer_nor_rich_nor_pydantic(project: Project) -> None:
    project.enqueue("add", "a=1", "b=2")
    assert not imported(project, "work", "--max-jobs=1") & {"typer", "rich", "pydantic", "sqlalchemy", "alembic"}
    assert project.show(1)["result"] == 3


def test_version_imports_nothing_heavy(idle: Project) -> None:
    assert not imported(idle, "--version") & (HEAVY | SLOW)


def test_looking_imports_neither_sqlalchemy_nor_rich_for_a_pipe(idle: Project) -> None:
    assert not imported(idle, "ls", "--json") & {"sqlalchemy", "alembic", "rich"}


def test_public_names_are_imported_when_used() -> None:
    program = "import sys, cronq; before = len(sys.modules); cronq.Cronq; print(before, len(sys.modules))"
    out = subprocess.run([sys.executable, "-c", PATH + program], capture_output=True, text=True, check=True).stdout
    before, after = map(int, out.split())
    assert before < after / 2
