"""cronq top on a terminal of 80 columns and 24 rows, as over ssh."""

from __future__ import annotations

import signal

import pytest

from tests.project import Project
from tests.terminal import Terminal
from tests.waiting import wait_until


@pytest.fixture
def busy(project: Project) -> Project:
    """Two queues, one of them with failed jobs."""
    project.done("enqueue", "--stdin", stdin='{"task": "give-up", "queue": "mail"}\n' * 3)
    project.enqueue("add", "a=1", "b=2")
    project.cronq("run")
    project.enqueue("--queue", "night", "--at", "+1h", "--", "true")
    return project


def test_one_picture_needs_no_terminal(busy: Project) -> None:
    picture = busy.done("top", "--once")
    assert "all queues" in picture
    assert picture.count("give-up Fail: hopeless") == 3
    mail = next(line for line in picture.splitlines() if line.strip().startswith("mail"))
    assert mail.split()[:6] == ["mail", "-", "-", "-", "-", "3"]
    ran = busy.cronq("top")
    assert (ran.status, ran.stderr) == (64, "cronq: top needs a terminal (--once prints one picture)\n")


def test_keys_choose_pause_and_retry(busy: Project) -> None:
    with Terminal(busy, "top", columns=80, rows=24) as terminal:
        first = terminal.wait_for("r retry failed")
        assert max(len(line) for line in first.splitlines()) <= 80
        terminal.press("\x1b[B\x1b[B")
        terminal.press("j")
        terminal.wait_for("queue night")
        terminal.press("k")
        terminal.wait_for("queue mail")
        terminal.press("p")
        terminal.wait_for("queue mail is paused")
        assert "paused: mail, by " in busy.done("status")
        terminal.press("p")
        terminal.wait_for("queue mail goes on")
        terminal.press("s")
        terminal.wait_for("running")
        terminal.press("r")
        terminal.wait_for("retry 3 failed or retrying jobs of queue mail?")
        terminal.press("n")
        terminal.wait_for("nothing was changed")
        terminal.press("r")
        terminal.wait_for("retry 3 failed or retrying jobs of queue mail?")
        terminal.press("y")
        terminal.wait_for("3 retried")
        assert terminal.attributes() != terminal.before
        terminal.press("q")
        assert terminal.end() == 0
        assert terminal.attributes() == terminal.before
    assert {job["state"] for job in busy.jobs("--queue", "mail")} == {"ready"}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_the_terminal_is_restored_whatever_ends_it(project: Project, number: signal.Signals, status: int) -> None:
    project.done("update-schema")
    with Terminal(project, "top", columns=80, rows=24) as terminal:
        terminal.wait_for("r retry failed")
        assert terminal.attributes() != terminal.before
        terminal.process.send_signal(number)
        assert terminal.end() == status
        assert terminal.attributes() == terminal.before
        wait_until(lambda: "\x1b[?1049l" in terminal.raw, what="the usual screen")
