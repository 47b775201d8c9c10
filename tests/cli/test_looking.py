"""ls, show, why, status: for scripts and for people."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess

import pytest

from tests.project import COMMAND, Project

_JOB = """id queue task args command state priority key group unique event attempt max_attempts snoozes crashes
created_at available_at started_at finished_at duration outcome error host pid worker time_limit blocked_by result
notes warnings peak_memory cpu_time"""
_ATTEMPT = "number outcome started_at finished_at host pid error exit_status signal"
JOB_FIELDS, ATTEMPT_FIELDS = _JOB.split(), _ATTEMPT.split()
NASTY = "printf '\\033]0;owned\\007\\033[31mred\\302\\233\\177'; exit 3"


def on_terminal(project: Project, *arguments: str | int, columns: int = 100) -> str:
    """What the command writes to a terminal."""
    leader, follower = pty.openpty()
    environment = project.environment | {"COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"}
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=project.directory, env=environment, stdin=follower, stdout=follower, stderr=follower,
    ):  # fmt: skip
        os.close(follower)
        chunks = []
        try:
            while chunk := os.read(leader, 65536):
                chunks.append(chunk)
        except OSError:
            pass  # how a terminal says that nobody writes any more
        os.close(leader)
    return b"".join(chunks).decode()


def on_paper(printed: str) -> str:
    """Without the bold and the colours of the table itself: whatever else is left came from a job."""
    return re.sub(r"\x1b\[[\d;]*m", "", printed)


def test_json_has_exactly_the_documented_fields(project: Project) -> None:
    project.enqueue("break", "--max-attempts", 1)
    project.cronq("run")
    [listed] = project.jobs()
    shown = project.show(listed["id"])
    assert list(listed) == JOB_FIELDS
    assert list(shown) == [*JOB_FIELDS, "attempts", "output"]
    assert list(shown["attempts"][0]) == ATTEMPT_FIELDS
    assert set(shown["attempts"][0]["error"]) == {"class", "message", "traceback"}
    assert set(shown["error"]) == {"class", "message"}
    assert set(shown["output"]) == {"stdout", "stderr"}
    for name in ("created_at", "available_at", "started_at", "finished_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", shown[name]), name


def test_lines_are_tab_separated_uncut_and_one_a_job(project: Project) -> None:
    text = "a\tb\nc" + "x" * 300
    job = project.enqueue("say", f"text={text}", "--key", "k", "--group", "g")
    [line] = project.done("ls").splitlines()
    cells = line.split("\t")
    assert len(cells) == 15
    assert cells[:5] == [str(job), "ready", "default", "50", "say"]
    assert json.loads(cells[5]) == {"text": text}
    assert cells[6:10] == ["0/20", "k", "g", ""]


def test_filters_and_order(project: Project) -> None:
    first = project.enqueue("say", "text=1", "--queue", "a", "--group", "g")
    second = project.enqueue("add", "a=1", "b=2", "--queue", "b", "--key", "k")
    third = project.enqueue("say", "text=1", "--queue", "c", "--at", "+1h")

    def ids(*arguments: str) -> list[int]:
        return [job["id"] for job in project.jobs(*arguments)]

    assert ids() == [third, second, first]
    assert ids("--queue", "a", "--queue", "b") == [second, first]
    assert ids("--task", "say") == [third, first]
    assert ids("--state", "ready") == [second, first]
    assert ids("--state", "ready,scheduled", "--task", "say", "--queue", "c") == [third]
    assert ids("--group", "g") == [first]
    assert ids("--key", "k") == [second]
    assert ids("--limit", "1") == [third]


def test_more_than_are_shown_is_said(project: Project) -> None:
    project.done("enqueue", "--stdin", stdin='{"command": "true"}\n' * 101)
    ran = project.cronq("ls")
    assert len(ran.stdout.splitlines()) == 100
    assert "--limit 0" in ran.stderr
    assert len(project.done("ls", "--limit", "0").splitlines()) == 101
    assert project.cronq("-q", "ls").stderr == ""
    assert len(re.findall(r"true", on_terminal(project, "ls"))) == 20


def test_table_fits_the_terminal(project: Project) -> None:
    project.enqueue("say", "text=" + "long " * 100, "--group", "g")
    printed = on_terminal(project, "ls", columns=60)
    assert "say" in printed
    assert "ready" in printed
    assert max(len(line) for line in on_paper(printed).replace("\r", "").splitlines()) <= 60


@pytest.mark.parametrize("arguments", [("ls",), ("show", 1), ("show", 1, "--json"), ("why", 1), ("ls", "--json")])
def test_control_characters_of_a_job_never_reach_the_terminal(
    project: Project, arguments: tuple[str | int, ...]
) -> None:
    project.enqueue("--key", "\x1b[2Jkey", "--", NASTY)
    project.cronq("run")
    printed = on_terminal(project, *arguments)
    own = on_paper(printed)
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", own), printed


def test_show_tells_all(project: Project) -> None:
    job = project.enqueue("--", "echo out; echo err >&2; exit 3")
    project.cronq("run")
    page = project.done("show", job)
    assert page.startswith(f"job {job}: command, retrying\n")
    for text in ("attempt 1: error (exit status 3)", "stdout:\n    out", "stderr:\n    err", "1 of 20"):
        assert text in page


def test_why_names_what_is_in_the_way(project: Project) -> None:
    later = project.enqueue("--at", "+2h", "--", "true")
    fresh = project.enqueue("--", "true")
    assert "is scheduled: it is due at" in project.done("why", later)
    assert "no runner has looked yet" in project.done("why", fresh)
    project.done("run")
    assert project.done("why", fresh).startswith(f"Job {fresh} has finished at ")
    waiting = project.enqueue("--", "true")
    assert "no runner has looked since" in project.done("why", waiting)
    answer = json.loads(project.done("why", waiting, "--json"))
    assert (answer["id"], answer["state"]) == (waiting, "ready")


def test_why_knows_the_holder_of_a_group(project: Project) -> None:
    holder = project.enqueue("--group", "g", "--", "exit 75")
    project.done("run")
    behind = project.enqueue("--group", "g", "--", "true")
    assert f'group "g" is held by job {holder}, which is waiting' in project.done("why", behind)
    assert project.show(behind)["blocked_by"] == holder


def test_why_of_a_task_that_the_app_does_not_know(project: Project) -> None:
    job = project.enqueue("--no-check", "elsewhere")
    assert 'task "elsewhere" is not known' in project.done("why", job)
    project.cronq("run")
    assert "is waiting: " in project.done("why", job)


def test_commands_work_where_nothing_can_be_displayed(project: Project) -> None:
    project.enqueue("say", "text=grüße 😀")
    project.done("run")
    ran = project.cronq("show", 1, env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert (ran.status, ran.stderr) == (0, "")
    assert "gr\\xfc\\xdfe \\U0001f600" in ran.stdout
