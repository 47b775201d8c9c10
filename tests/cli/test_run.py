"""`cronq run` as cron and people see it."""

from __future__ import annotations

import re
import signal

import pytest

from tests.project import Project
from tests.terminal import Terminal, on_terminal
from tests.waiting import wait_until


def test_the_first_command_makes_the_database(project: Project) -> None:
    assert project.cronq("run") == (0, "", "")
    assert project.jobs() == []
    project.database.unlink()
    assert project.cronq("enqueue", "--", "true") == (0, "1\n", "")
    assert project.state(1) == "ready"


def test_silent_when_nothing_went_wrong(project: Project) -> None:
    for arguments in (("add", "a=1", "b=2"), ("say", "text=hello"), ("--", "echo out; echo err >&2")):
        project.enqueue(*arguments)
    assert project.cronq("run") == (0, "", "")
    assert {job["state"] for job in project.jobs()} == {"finished"}
    assert project.cronq("run") == (0, "", "")


def test_silent_about_a_job_that_will_be_tried_again(project: Project) -> None:
    project.enqueue("break")
    assert project.cronq("run", "--fail") == (0, "", "")


def test_one_line_for_each_job_that_failed_for_good_or_keeps_failing(project: Project) -> None:
    job = project.enqueue("give-up", "why=no\nway\x1b[31m")
    project.enqueue("add", "a=1", "b=2")
    ran = project.cronq("run")
    assert (ran.status, ran.stdout) == (0, "")
    assert re.fullmatch(rf"cronq: job {job} \(give-up\) .*no way.*\n", ran.stderr)
    assert "\x1b" not in ran.stderr


def test_fail_makes_a_failed_job_the_runs_failure(project: Project) -> None:
    project.enqueue("give-up")
    assert project.cronq("run", "--fail").status == 1
    assert project.cronq("run", "--fail").status == 0


def test_second_run_stands_back_silently_and_tells_on_request(project: Project) -> None:
    project.enqueue("--", "sleep", "60")
    with project.start("run") as first:
        wait_until(lambda: project.state(1) == "running")
        assert project.cronq("run") == (0, "", "")
        told = project.cronq("-v", "run")
        assert re.fullmatch(rf"cronq: .* {first.pid}, since \d+ s .*\n", told.stderr)
        assert project.cronq("run", "-v").stderr != ""
        project.done("cancel", "--kill", 1)
        first.communicate(timeout=60)
    assert first.returncode == 0


def test_filters_choose(project: Project) -> None:
    queues = {name: project.enqueue("--queue", name, "--", "true") for name in ("a", "b1", "b2", "c")}
    urgent = project.enqueue("--queue", "c", "--priority", "5", "--", "true")

    def finished() -> set[int]:
        return {job["id"] for job in project.jobs("--state", "finished")}

    project.done("run", "--queue", "b*", "--queue", "!b2")
    assert finished() == {queues["b1"]}
    project.done("run", "--priority=-20")
    assert finished() == {queues["b1"], urgent}
    project.done("run", "--limit", "1", "--jobs", "1")
    assert len(finished()) == 3
    project.done("run", "--weighted", "--queue", "a", "--queue", "*")
    assert len(finished()) == 5


def test_summary_on_a_terminal(project: Project) -> None:
    project.enqueue("add", "a=1", "b=2")
    project.enqueue("give-up")
    printed = on_terminal(project, "run")
    assert "cronq: 1 finished, 1 failed" in printed
    assert "hopeless" in printed
    assert "nothing is due" in on_terminal(project, "run")
    assert on_terminal(project, "-q", "run") == ""


def test_verbose_tells_what_was_done(project: Project) -> None:
    project.enqueue("add", "a=1", "b=2")
    assert project.cronq("run", "-v").stderr == "cronq: 1 finished\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_a_run_without_a_traceback(project: Project, number: signal.Signals) -> None:
    project.enqueue("--", "sleep", "1")
    with project.start("run") as run:
        wait_until(lambda: project.state(1) == "running")
        run.send_signal(number)
        _, stderr = run.communicate(timeout=90)
    assert "Traceback" not in stderr
    assert project.jobs()[0]["state"] in ("finished", "ready")


def test_the_bar_of_a_run_has_rate_failed_and_time_left(project: Project) -> None:
    project.done("enqueue", "--stdin", stdin='{"command": "sleep 0.2; exit 100"}\n' * 12)
    with Terminal(project, "run", columns=80, rows=24) as terminal:
        assert terminal.end() == 0
        shown = terminal.text
    bars = [line for line in shown.replace("\r", "\n").splitlines() if line.startswith("jobs ")]
    assert any(re.search(r" \d+/12 \S+s, [\d,]+/(s|min), \d+ failed, \S+s left *$", line) for line in bars), shown
    assert max(map(len, bars)) <= 80
    assert "12 failed" in shown
