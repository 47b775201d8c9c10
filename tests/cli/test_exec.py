"""exec: one job in the foreground."""

from __future__ import annotations

import signal
import sys

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

@queue.task(name="debugged-coroutine")
async def debugged_coroutine(n: int) -> int:
    return debugged(n)
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


@pytest.mark.parametrize("task", ["debugged", "debugged-coroutine"])
def test_quitting_the_debugger_spends_no_attempt(debugged: Project, task: str) -> None:
    job = debugged.enqueue(task, "n=1")
    with Terminal(debugged, "exec", job) as terminal:
        terminal.wait_for("(Pdb)")
        terminal.press("q\n")
        if sys.version_info >= (3, 14):
            terminal.wait_for("Quit anyway?")
            terminal.press("y\n")
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
        wait_until(lambda: project.state(job) == "running", seconds=60)
        first = project.sql(_LEASE)
        wait_until(lambda: project.sql(_LEASE) != first, seconds=60, what="the lease is prolonged")
        project.done("run")
        assert project.show(job)["state"] == "running"
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    project.done("run", "--priority", "0")
    assert (project.show(job)["state"], project.show(job)["crashes"]) == ("ready", 1)


_LEASE = "SELECT lease_until FROM cronq_jobs"
_PROGRESS = "SELECT 1 FROM cronq_progress"


COUNTING = """
import time
from pathlib import Path
from cronq import current_job

@queue.task(name="count")
def count() -> None:
    number = 0
    while not Path("go").exists():
        number += 1
        current_job().progress(number, 1000000, note="counting")
        time.sleep(0.01)
    if Path("go").read_text():
        raise KeyboardInterrupt
"""


@pytest.mark.parametrize(("said", "state"), [("", "finished"), ("quit", "ready")])
def test_others_see_how_far_it_is_until_it_ends(project: Project, said: str, state: str) -> None:
    app = project.directory / "jobs.py"
    app.write_text(app.read_text() + COUNTING)
    job = project.enqueue("count")
    with project.start("exec", job) as process:
        wait_until(lambda: bool(project.sql(_PROGRESS)), seconds=60, what="its progress is stored")
        shown = project.show(job)["progress"]
        assert (shown["total"], shown["note"]) == (1_000_000, "counting")
        assert shown["done"] > 0
        (project.directory / "go").write_text(said)
        process.communicate(timeout=60)
    assert (project.show(job)["state"], project.show(job)["progress"]) == (state, None)


def test_a_command_in_the_foreground_says_how_far_it_is(project: Project) -> None:
    job = project.enqueue("--", "cronq progress 1 4; while [ ! -e go ]; do sleep 0.02; done")
    with project.start("exec", job) as process:
        wait_until(lambda: bool(project.sql(_PROGRESS)), seconds=60, what="its progress is stored")
        assert project.show(job)["progress"]["total"] == 4
        (project.directory / "go").touch()
        process.communicate(timeout=60)
    assert project.show(job)["state"] == "finished"


def test_what_comes_after_it_is_released_cancelled_and_put_back(project: Project) -> None:
    step = project.enqueue("--max-attempts", "1", "--", "test -e ready")
    after = project.enqueue("--after", step, "say", "text=x")
    alarm = project.enqueue("--after-failure", step, "say", "text=y")

    def states() -> list[str]:
        return [project.show(job)["state"] for job in (after, alarm)]

    ran = project.cronq("exec", after)
    assert (ran.status, ran.stderr) == (
        75,
        f"cronq: job {after} can't start now: pending (`cronq why {after}` says what it waits for)\n",
    )
    assert project.cronq("exec", step).status == 1
    assert states() == ["cancelled", "ready"]
    (project.directory / "ready").touch()
    assert project.cronq("exec", step).status == 0
    assert states()[0] == "ready"
    assert project.cronq("exec", after).status == 0


def test_it_ends_its_batch_and_gives_its_place_to_the_next(project: Project) -> None:
    config = project.directory / "cronq.toml"
    config.write_text(config.read_text() + "[limits]\nsmtp = 1\n")
    batch = project.done("batch", "open").strip()
    first, second = (project.enqueue("--limit", "smtp", "--batch", batch, "say", "text=x") for _ in range(2))
    project.done("batch", "close", batch)
    assert project.cronq("exec", second).status == 75
    assert project.cronq("exec", first).status == 0
    assert project.show(second)["state"] == "ready"
    assert project.cronq("exec", second).status == 0
    assert project.done("wait", f"batch:{batch}") == '{"finished": 2}'
