"""cronq top on a terminal of 80 columns and 24 rows, as over ssh, and on a wide one."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from cronq.render.top_keys import KEYS
from tests.project import ROOT, Project
from tests.terminal import Terminal
from tests.waiting import wait_until

PRINTS = """
import sys

@queue.task(name="prints", max_attempts=1)
def prints(lines: int, why: str) -> None:
    for number in range(lines):
        print("line", number)
    print("\\x1b[31m" + why, file=sys.stderr)
    raise ValueError("the \\x1b[2J end: " + why)
"""


@pytest.fixture
def busy(project: Project) -> Project:
    """Two queues, one of them with failed jobs."""
    project.done("enqueue", "--stdin", stdin='{"task": "give-up", "queue": "mail"}\n' * 3)
    project.enqueue("add", "a=1", "b=2")
    project.cronq("run")
    project.enqueue("--queue", "night", "--at", "+1h", "--", "true")
    return project


@pytest.fixture
def crowded(project: Project) -> Project:
    """Thirty queues: those that come last by their names have the most work."""
    lines = [json.dumps({"command": "true", "queue": f"q{number:02}"}) + "\n" for number in range(30)]
    project.done("enqueue", "--stdin", stdin="".join(lines) + lines[29] * 999 + lines[28] * 99)
    return project


@pytest.fixture
def terminal(busy: Project) -> Iterator[Terminal]:
    """Top over the busy queues, its first picture drawn."""
    with Terminal(busy, "top", columns=80, rows=24) as opened:
        opened.see("q quit", "give-up")
        yield opened


def test_one_picture_needs_no_terminal(busy: Project) -> None:
    picture = busy.done("top", "--once")
    assert "all queues" in picture
    assert picture.count("give-up Fail: hopeless") == 1
    assert next(line for line in picture.splitlines() if "hopeless" in line).split()[:2] == ["3", "jobs"]
    mail = next(line for line in picture.splitlines() if line.strip().startswith("mail"))
    assert mail.split()[:6] == ["mail", "-", "-", "-", "-", "3"]
    ran = busy.cronq("top")
    assert (ran.status, ran.stderr) == (64, "cronq: top needs a terminal (--once prints one picture)\n")


def test_keys_choose_pause_and_retry(busy: Project) -> None:
    with Terminal(busy, "top", columns=80, rows=24) as terminal:
        first = terminal.wait_for("r retry failed")
        assert max(len(line) for line in first.splitlines()) <= 80
        terminal.press("\x1b[B\x1b[B")
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


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), pytest.param(200, 60, marks=pytest.mark.thorough)])
def test_the_largest_backlog_is_on_top_and_what_is_hidden_is_counted(crowded: Project, columns: int, rows: int) -> None:
    with Terminal(crowded, "top", columns=columns, rows=rows) as terminal:
        picture = terminal.see("q quit")
        assert len(picture) == rows
        assert picture[-1].startswith("q quit")
        assert max(map(len, picture)) <= columns
        queues = [line.split() for line in picture[4 : picture.index("", 4)]]
        assert [line[:2] for line in queues[1:3]] == [["q29", "1,000"], ["q28", "100"]]
        assert queues[0][:3] == [">", "all", "1,128"]
        hidden = 0 if rows > 24 else int(queues[-1][0])
        assert len(queues) - 1 - (hidden > 0) + hidden == 30
        assert (queues[-1][1:3] == ["more", str(hidden)]) == (hidden > 0)
        terminal.press("G")
        picture = terminal.see("> q27")
        assert bool(hidden) == ("more" in "\n".join(picture))


@pytest.fixture
def opened(project: Project) -> Iterator[Terminal]:
    """Top, with the page of one of fourteen jobs that failed alike."""
    app = project.directory / "jobs.py"
    app.write_text(app.read_text() + PRINTS)
    project.done("enqueue", "--stdin", stdin='{"task": "prints", "args": {"lines": 50, "why": "ä"}}\n' * 14)
    project.cronq("run")
    with Terminal(project, "top", columns=80, rows=24) as terminal:
        terminal.see("14 jobs", "prints ValueError: the \\x1b[2J end: ä")
        terminal.press("\t")
        terminal.see("> 14 jobs")
        terminal.press("\r")
        terminal.see("> 14 ", "failed", "3 more")
        terminal.press("j\r")
        terminal.see("job 13  prints  failed")
        yield terminal


def test_failures_are_grouped_and_a_job_of_them_is_read(opened: Terminal) -> None:
    picture = opened.see("q back", "lines 1 to 23 of 7")
    assert len(picture) == 24
    opened.press("G")
    opened.see("\\x1b[31mä")
    opened.press("g")
    opened.see("job 13  prints  failed")
    opened.press("\x1b[6~")
    opened.see("line 1")
    opened.press("q")
    opened.see("> 13 ", "Esc back")
    opened.press("\x1b")
    opened.see("> 14 jobs")
    assert "\x1b[2J" not in opened.raw.partition("\x1b[H")[2]
    opened.press("q")
    assert opened.end() == 0


def test_a_job_is_retried_and_cancelled_after_a_question(project: Project, opened: Terminal) -> None:
    opened.press("r")
    opened.see("retry job 13, failed? y, or any other key")
    opened.press("y")
    opened.see("1 retried", "job 13  prints  ready")
    opened.press("c")
    opened.see("cancel job 13, ready?")
    opened.press("x")
    opened.see("nothing was changed")
    opened.press("cy")
    opened.see("1 cancelled", "job 13  prints  cancelled")
    assert "by hand" in project.show(13)["error"]["message"]
    opened.press("q\x1b")
    opened.see("> 13 jobs")
    opened.press("ry")
    opened.see("13 retried")


def test_a_running_job_is_ended_after_a_question(project: Project) -> None:
    project.enqueue("--", "sleep 50")
    with project.start("run"):
        wait_until(lambda: project.state(1) == "running", what="the start of the job")
        with Terminal(project, "top", columns=80, rows=24) as terminal:  # its first picture has the job
            terminal.see("q quit")
            terminal.press("s\t\r")
            terminal.see("job 1  command  running")
            terminal.press("c")
            terminal.see("job 1 is running: end it (TERM, then KILL)?")
            terminal.press("y")
            terminal.see("job 1 is asked to end")
            terminal.see("job 1  command  cancelled")


def test_a_filter_is_typed(busy: Project, terminal: Terminal) -> None:
    busy.enqueue("say", "text=Müller", "--queue", "later", "--at", "+1h")
    terminal.press("S/mülx\x7f")
    terminal.see("/mül_")
    terminal.press("\r")
    picture = terminal.see("all queues  /mül", "say text=Müller")
    assert "add a=1" not in "\n".join(picture)
    terminal.press("\x1b")
    terminal.see("add a=1")
    terminal.press("/never\x1b")
    terminal.see("add a=1", "q quit")


def test_help_names_every_key(terminal: Terminal) -> None:
    terminal.press("?")
    picture = "\n".join(terminal.see("cronq top: keys"))
    documented = (ROOT / "docs" / "cli.md").read_text()
    for key, does in KEYS:
        assert does in picture
        assert does in documented
        assert key.split()[0] in documented
    terminal.press("?")
    terminal.see("q quit")


def test_the_help_of_the_command_names_every_key(project: Project) -> None:
    told = project.done("top", "--help")
    for key, does in KEYS:
        assert f"  {key:<12} {does}" in told


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_the_terminal_is_restored_whatever_ends_it(project: Project, number: signal.Signals, status: int) -> None:
    project.make_database()
    with Terminal(project, "top", columns=80, rows=24) as terminal:
        terminal.wait_for("r retry failed")
        assert terminal.attributes() != terminal.before
        terminal.process.send_signal(number)
        assert terminal.end() == status
        assert terminal.attributes() == terminal.before
        wait_until(lambda: "\x1b[?1049l" in terminal.raw, what="the usual screen")
