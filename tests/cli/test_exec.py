"""exec: one job in the foreground."""

from __future__ import annotations

import signal

import pytest

from tests.project import Project
from tests.terminal import Terminal
from tests.waiting import wait_until

DEBUGGED = """
@queue.task(name="debugged")
def debugged(n: int) -> int:
    twice = 2 * n
    breakpoint()
    return twice
"""


@pytest.fixture
def debugged(project: Project) -> Project:
    app = project.directory / "jobs.py"
    app.write_text(app.read_text() + DEBUGGED)
    return project


def test_a_breakpoint_has_the_terminal_and_the_outcome_is_settled(debugged: Project) -> None:
    job = debugged.enqueue("debugged", "n=21", "--at", "+1h")
    with Terminal(debugged, "exec", job) as terminal:
        terminal.wait_for("(Pdb)")
        assert debugged.show(job)["state"] == "running"
        terminal.press("p twice\n")
        terminal.wait_for("42")
        terminal.press("twice = 43\n")
        terminal.press("c\n")
        assert terminal.end() == 0
    assert (debugged.show(job)["state"], debugged.show(job)["result"]) == ("finished", 43)


TALKATIVE = """
import sys

@queue.task(name="talk")
def talk(how: str) -> None:
    print("to stdout \u00fc")
    print("to stderr", file=sys.stderr)
    sys.stdout.buffer.write(b"bytes\\n")
    if how == "closes":
        sys.stdout.close()
    if how == "replaces":
        sys.stdout = None
"""


@pytest.mark.parametrize("how", ["returns", "closes", "replaces"])
def test_what_a_task_prints_is_shown_and_stored(project: Project, how: str) -> None:
    app = project.directory / "jobs.py"
    app.write_text(app.read_text() + TALKATIVE)
    job = project.enqueue("talk", f"how={how}")
    ran = project.cronq("exec", "-q", job)
    assert (ran.status, ran.stdout, ran.stderr) == (0, "to stdout ü\nbytes\n", "to stderr\n")
    assert project.show(job)["output"] == {"stdout": "to stdout ü\nbytes\n", "stderr": "to stderr\n"}


def test_quitting_the_debugger_spends_no_attempt(debugged: Project) -> None:
    job = debugged.enqueue("debugged", "n=1")
    with Terminal(debugged, "exec", job) as terminal:
        terminal.wait_for("(Pdb)")
        terminal.press("q\n")
        assert terminal.end() == 130
        assert "given back" in terminal.text
    assert (debugged.show(job)["state"], debugged.show(job)["attempt"]) == ("ready", 0)


def test_a_command_and_a_failure(project: Project) -> None:
    ran = project.cronq("exec", project.enqueue("--", "cat; echo said; exit 3"), stdin="typed\n")
    assert (ran.status, ran.stdout) == (1, "typed\nsaid\n")
    assert ran.stderr.splitlines()[0] == "cronq: job 1 starts: command, attempt 1 of 20"
    assert "cronq: job 1 is retrying after" in ran.stderr
    assert (project.show(1)["attempts"][0]["exit_status"], project.show(1)["attempt"]) == (3, 1)
    failed = project.enqueue("give-up")
    project.cronq("run")
    assert "Fail: hopeless" in project.cronq("exec", failed).stderr
    assert len(project.show(failed)["attempts"]) == 2
    assert project.cronq("exec", 99).status == 1


def test_what_runs_is_paused_or_has_ended_is_not_started(project: Project) -> None:
    paused = project.enqueue("--queue", "q", "say", "text=x")
    project.done("pause", "q")
    ran = project.cronq("exec", paused)
    assert (ran.status, ran.stderr) == (
        75,
        f"cronq: job {paused} can't start now: queue q is paused (cronq resume q)\n",
    )
    project.done("resume", "q")
    assert project.cronq("exec", paused).status == 0
    ran = project.cronq("exec", paused)
    assert (ran.status, ran.stderr) == (75, f"cronq: job {paused} can't start now: finished\n")


def test_its_lease_is_kept_and_others_leave_it_alone(project: Project) -> None:
    project.write("cronq.toml", (project.directory / "cronq.toml").read_text() + 'lease = "2s"\n')
    job = project.enqueue("--", "sleep 60")
    with project.start("exec", job) as process:
        wait_until(lambda: project.show(job)["state"] == "running", seconds=30)
        first = project.python("-c", _LEASE).stdout
        wait_until(lambda: project.python("-c", _LEASE).stdout != first, seconds=30)
        project.done("run")
        assert project.show(job)["state"] == "running"
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
    project.done("run", "--priority", "0")
    assert (project.show(job)["state"], project.show(job)["crashes"]) == ("ready", 1)


_LEASE = "import sqlite3; print(sqlite3.connect('cronq.db').execute('SELECT lease_until FROM cronq_jobs').fetchall())"
