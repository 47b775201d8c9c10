"""How far a running job is, as its task or its command says it, and as `show`, `ls`, `top` and `wait` show it."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from tests.project import Project
from tests.terminal import Terminal
from tests.waiting import wait_until

APP = """\
import time
from pathlib import Path
from cronq import Cronq, current_job

queue = Cronq.from_config()


@queue.task(name="count")
def count() -> None:
    number = 0
    while not Path("go").exists():
        number += 1
        current_job().progress(number, 1000000, note="counting")
        time.sleep(0.05)


@queue.task(name="quick")
def quick() -> None:
    current_job().progress(1, 2)
"""
COMMAND = "n=0; while [ ! -e go ]; do n=$((n + 1)); cronq progress $n 1000000 --note counting; done"


def far(project: Project, job: int) -> bool:
    """Whether the job has said how far it is, and more than five steps; asked of the database, for that is quicker."""
    with contextlib.closing(sqlite3.connect(project.database, timeout=60)) as connection:
        return bool(connection.execute("SELECT 1 FROM cronq_progress WHERE job_id = ? AND done > 5", (job,)).fetchall())


@pytest.mark.parametrize("kind", ["task", "command"])
def test_a_job_says_how_far_it_is(project: Project, kind: str) -> None:
    project.write("jobs.py", APP)
    job = project.enqueue("count") if kind == "task" else project.enqueue("--", COMMAND)
    with project.start("run", env=project.environment_of_shells) as run:
        wait_until(lambda: far(project, job), seconds=150)
        shown = project.show(job)["progress"]
        assert (shown["total"], shown["note"]) == (1_000_000, "counting")
        assert shown["rate"] > 0
        assert shown["left"] > 0
        assert "of 1,000,000 (0 %), " in project.done("show", job)
        assert " left: counting" in project.done("show", job)
        assert "of 1,000,000 (0 %)" in project.done("top", "--once")
        (project.directory / "go").touch()
        run.communicate(timeout=60)
    after = project.show(job)
    assert (after["state"], after["progress"], after["warnings"]) == ("finished", None, [])


def test_wait_shows_it_on_a_terminal(project: Project) -> None:
    project.write("jobs.py", APP)
    job = project.enqueue("count")
    with project.start("run") as run:
        wait_until(lambda: far(project, job), seconds=150)
        with Terminal(project, "wait", job) as terminal:
            terminal.wait_for("of 1,000,000 (0 %)")
            (project.directory / "go").touch()
        run.communicate(timeout=60)


def test_a_short_job_writes_none(project: Project) -> None:
    project.write("jobs.py", APP)
    job = project.enqueue("quick")
    project.done("run")
    assert project.show(job)["state"] == "finished"
    assert project.show(job)["progress"] is None


def test_outside_of_a_job_it_is_refused(project: Project) -> None:
    ran = project.cronq("progress", "1", "2")
    assert ran.status == 64
    assert "for a command that runs as a job" in ran.stderr
    assert project.cronq("progress").status == 64
    ran = project.cronq("progress", "1", env={"CRONQ_PROGRESS": f"1:2:{project.directory}/gone"})
    assert (ran.status, "job 1 has ended" in ran.stderr) == (65, True)
