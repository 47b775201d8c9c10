"""Following what a job prints, through the database."""

from __future__ import annotations

import subprocess

import pytest

from tests.project import Project
from tests.waiting import wait_until

APP = """\
import sys
import time
from pathlib import Path
from cronq import Cronq

queue = Cronq.from_config()


@queue.task(name="speak")
def speak() -> None:
    for number in range(1000):
        print("word", number, flush=True)
        if number == 20:
            Path("printed").touch()
        while number >= 20 and not Path("go").exists():
            time.sleep(0.02)
    print("mumble", file=sys.stderr)
"""
COMMAND = "seq 1 20; touch printed; while [ ! -e go ]; do sleep 0.05; done; seq 21 1000; echo mumble >&2"


def state(project: Project, job: int) -> str:
    return str(project.show(job)["state"])


@pytest.mark.parametrize("kind", ["task", "command"])
def test_a_running_job_is_followed_to_its_end(project: Project, kind: str) -> None:
    project.write("jobs.py", APP)
    job = project.enqueue("speak") if kind == "task" else project.enqueue("--", COMMAND)
    with project.start("run") as run:
        wait_until((project.directory / "printed").exists)
        with project.start("tail", job, "--lines", 3) as tail:
            assert tail.stdout is not None
            seen = [tail.stdout.readline() for _ in range(3)]
            (project.directory / "go").touch()
            rest, errors = tail.communicate(timeout=60)
            assert tail.returncode == 0
        run.communicate(timeout=60)
    words = [line.split()[-1] for line in [*seen, *rest.splitlines()]]
    assert [int(word) for word in words] == list(range(int(words[0]), int(words[-1]) + 1))
    assert int(words[0]) > 10
    assert int(words[-1]) == (999 if kind == "task" else 1000)
    assert errors == "mumble\n"


def test_a_job_that_has_not_begun_is_waited_for(project: Project) -> None:
    job = project.enqueue("--", "echo here; exit 1")
    with project.start("tail", job) as tail:
        assert tail.stderr is not None
        assert tail.stderr.readline() == f"cronq: job {job} is ready; waiting for it to begin\n"
        project.cronq("run")
        assert tail.communicate(timeout=60)[0] == "here\n"
    assert project.cronq("tail", 99).status == 1
    assert project.cronq("tail", job, "--lines", "x").status == 65


def test_the_last_lines_of_a_job_that_has_ended(project: Project) -> None:
    job = project.enqueue("--", "seq 1 30; echo e >&2")
    project.cronq("run")
    assert project.cronq("tail", job) == (0, "".join(f"{n}\n" for n in range(21, 31)), "e\n")
    assert project.cronq("tail", job, "--lines", "1").stdout == "30\n"


def test_a_job_may_write_what_looks_like_a_gap(project: Project) -> None:
    job = project.enqueue("--", "printf '\\n[… %s bytes left out …]\\nend\\n' $(printf '9%.0s' $(seq 5000))")
    project.cronq("run")
    ran = project.cronq("tail", job)
    assert (ran.status, ran.stderr) == (0, "")
    assert ran.stdout.endswith("…]\nend\n")


def test_what_a_killed_command_printed_is_kept(project: Project) -> None:
    job = project.enqueue("--", "echo begun; sleep 60")
    with project.start("run") as run:
        wait_until(lambda: state(project, job) == "running")
        wait_until(lambda: "begun" in tailed(project, job))
        project.done("cancel", "--kill", job)
        run.communicate(timeout=60)
    assert project.show(job)["output"]["stdout"] == "begun\n"


def tailed(project: Project, job: int) -> str:
    """What `cronq tail` prints within five seconds."""
    with project.start("-q", "tail", job) as tail:
        try:
            return str(tail.communicate(timeout=5)[0])
        except subprocess.TimeoutExpired as over:
            tail.terminate()
            return over.stdout.decode() if isinstance(over.stdout, bytes) else ""
