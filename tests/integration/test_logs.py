"""The log: an event for each step of a job, in the form and at the place that the configuration says."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.project import Project


def _configure(project: Project, **values: str) -> None:
    lines = [f"{key} = {value!r}\n" for key, value in values.items()]
    before = (project.directory / "cronq.toml").read_text()
    project.write("cronq.toml", "".join(lines) + before)


def _events(project: Project, name: str = "log") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (project.directory / name).read_text().splitlines()]


def test_every_step_of_a_job_is_an_event_with_its_id(project: Project) -> None:
    _configure(project, log="log", log_format="json")
    job = project.enqueue("add", "a=1", "b=2")
    project.cronq("run")
    project.cronq("retry", job)
    project.cronq("cancel", job)
    told = [event for event in _events(project) if event.get("job") == job]
    assert [event["event"] for event in told] == ["enqueued", "claimed", "finished", "retried", "cancelled"]
    assert all(event["time"].endswith("Z") and event["level"] == "info" for event in told)
    assert {event.get("task") for event in told[:3]} == {"add"}


def test_a_failure_says_why(project: Project) -> None:
    job = project.enqueue("break", "why=the disk is full")
    project.cronq("--log-file", "log", "run")
    lines = (project.directory / "log").read_text().splitlines()
    assert any(f"INFO job {job} (break) retrying: the disk is full" in line for line in lines)


def test_the_level_keeps_out_what_is_less(project: Project) -> None:
    _configure(project, log="log", log_level="warning")
    project.enqueue("add", "a=1", "b=2")
    project.cronq("run")
    assert (project.directory / "log").read_text() == ""


def test_stderr_has_the_log_and_stdout_stays_clean(project: Project) -> None:
    _configure(project, log="stderr")
    ran = project.cronq("enqueue", "add", "a=1", "b=2")
    assert ran.stdout == "1\n"
    assert "INFO job 1 (add) enqueued" in ran.stderr


def test_a_worker_goes_on_in_the_new_file_after_a_rotation(project: Project) -> None:
    log = project.directory / "log"
    with project.start("--log-file", "log", "work", "--max-jobs", 2) as worker:
        project.enqueue("add", "a=1", "b=2")
        project.cronq("wait", 1)
        log.rename(project.directory / "log.1")
        project.enqueue("add", "a=1", "b=2")
        assert worker.wait(60) == 0
    assert "job 1 (add) claimed" in (project.directory / "log.1").read_text()
    assert "job 2 (add) finished" in log.read_text()


def test_a_log_that_cannot_be_written_is_a_clear_error(project: Project) -> None:
    ran = project.cronq("--log-file", "no/such/log", "ls")
    assert ran.status == 78
    assert ran.stderr == f"cronq: log {project.directory}/no/such/log: No such file or directory\n"


def test_under_systemd_lines_have_their_priority(project: Project) -> None:
    _configure(project, log="stderr")
    ours, journal = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, journal:
        status = os.fstat(journal.fileno())
        stream = f"{status.st_dev}:{status.st_ino}"
        program = Path(sys.executable).parent / "cronq"
        subprocess.run(
            [str(program), "enqueue", "add", "a=1", "b=2"], cwd=project.directory, stdout=subprocess.DEVNULL,
            env={**project.environment, "JOURNAL_STREAM": stream}, stderr=journal.fileno(), check=True,
        )  # fmt: skip
        assert ours.recv(1000) == b"<6>job 1 (add) enqueued\n"


@pytest.mark.parametrize("text", ["two\nlines", "a\ttab"])
def test_an_event_is_one_line_whatever_the_task_says(text: str, project: Project) -> None:
    project.enqueue("break", f"why={text}")
    project.cronq("--log-file", "log", "run")
    assert len((project.directory / "log").read_text().splitlines()) == 2
