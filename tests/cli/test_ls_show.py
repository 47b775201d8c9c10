"""ls, show, why, status: for scripts and for people."""

from __future__ import annotations

import json
import re

import pytest

from tests.project import Project
from tests.terminal import Terminal, on_terminal

_JOB = """id queue task args command state priority key group unique event attempt max_attempts snoozes crashes
created_at available_at started_at finished_at duration outcome error host pid worker time_limit retry blocked_by result
notes warnings peak_memory cpu_time schedule scheduled_for progress"""
_ATTEMPT = "number outcome started_at finished_at host pid worker error exit_status signal"
JOB_FIELDS, ATTEMPT_FIELDS = _JOB.split(), _ATTEMPT.split()
NASTY = "printf '\\033]0;owned\\007\\033[31mred\\302\\233\\177'; exit 3"


def on_paper(printed: str) -> str:
    """Without the bold and the colours of the table itself: all that is left came from a job."""
    return re.sub(r"\x1b\[[\d;]*m", "", printed)


def test_json_has_exactly_the_documented_fields(project: Project) -> None:
    project.enqueue("break", "--max-attempts", 1)
    project.cronq("run")
    [listed] = project.jobs()
    shown = project.show(listed["id"])
    assert list(listed) == JOB_FIELDS
    assert list(shown) == [*JOB_FIELDS, "attempts", "output", "actions", "after", "before", "batch", "limit"]
    assert list(shown["attempts"][0]) == ATTEMPT_FIELDS
    assert set(shown["attempts"][0]["error"]) == {"class", "message", "path", "traceback"}
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


def test_ranges_search_patterns_and_order(project: Project) -> None:
    first = project.enqueue("say", "text=Hello", "--queue", "mail-a")
    second = project.enqueue("add", "a=1", "b=2", "--queue", "mail-b", "--priority", "7")
    third = project.enqueue("say", "text=bye", "--queue", "c")

    def ids(*arguments: str) -> list[int]:
        return [job["id"] for job in project.jobs(*arguments)]

    assert ids("--queue", "mail*") == [second, first]
    assert ids("--search", "hello") == [first]
    assert ids("--since", "1h", "--queue", "!c", "--sort", "priority") == [second, first]
    assert ids("--until", "1h") == []
    assert ids("--sort", "id") == [first, second, third]
    assert project.done("cancel", "--search", "hello", "--dry-run") == str(first)
    ran = project.cronq("ls", "--sort", "priorty")
    assert (ran.status, "did you mean 'priority'?" in ran.stderr) == (65, True)
    assert project.cronq("ls", "--since", "soon").status == 65


def test_times_are_ages_or_this_hosts_or_utc(project: Project) -> None:
    project.enqueue("say", "text=x", "--at", "2099-01-02T03:04:05+00:00")
    assert "in 26" in on_terminal(project, "ls")
    zoned = on_terminal(project, "ls", "--local", columns=140, env={"TZ": "Asia/Tokyo"})
    assert "2099-01-02 12:04:05" in zoned
    assert "2099-01-02T03:04:05Z" in on_terminal(project, "ls", "--utc", columns=140)


def test_show_has_the_time_beside_the_age(project: Project) -> None:
    job = project.enqueue("say", "text=x")
    shown = on_terminal(project, "show", job, columns=140)
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \(\d\S* ago\)", shown), shown


def test_queues_whose_jobs_nothing_starts_are_told_on_a_terminal(project: Project) -> None:
    project.enqueue("say", "text=x")
    project.enqueue("say", "text=x", "--queue", "mail")
    project.done("pause", "mail")
    printed = on_terminal(project, "ls")
    assert "queue mail is paused (cronq resume mail)" in printed
    assert "nothing serves queue default" in printed
    assert project.cronq("ls").stderr == ""
    project.done("run")
    project.enqueue("say", "text=x")
    assert "nothing serves" not in on_terminal(project, "ls")


def test_more_than_are_shown_is_said(project: Project) -> None:
    project.done("enqueue", "--stdin", stdin='{"command": "true"}\n' * 101)
    ran = project.cronq("ls")
    assert len(ran.stdout.splitlines()) == 100
    assert "only the newest 100 of 101 are shown; --limit 0 shows all" in ran.stderr
    assert len(project.done("ls", "--limit", "0").splitlines()) == 101
    assert project.cronq("-q", "ls").stderr == ""
    assert len(re.findall(r"true", on_terminal(project, "ls", rows=26))) == 16
    assert len(re.findall(r"true", on_terminal(project, "ls", rows=60))) == 50


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


def test_output_alone(project: Project) -> None:
    job = project.enqueue("--", "seq 1 100; printf 'no\\tend\\033[2J' >&2; exit 3")
    project.cronq("run")
    ran = project.cronq("show", job, "--output")
    assert (ran.status, ran.stdout.split(), ran.stderr) == (0, [str(n) for n in range(1, 101)], "no\tend\x1b[2J")
    printed = on_terminal(project, "show", job, "--output")
    assert "\n50\n" in printed
    assert "no\tend\\x1b[2J" in printed
    assert "80 lines more" in on_terminal(project, "show", job)
    assert project.cronq("show", job, "--output", "--json").status == 64


def test_exact_times_on_request(project: Project) -> None:
    job = project.enqueue("--", "true")
    assert re.search(r"ready +for \d+s", on_paper(on_terminal(project, "ls")))
    due = project.show(job)["available_at"][:19] + "Z"
    assert due in on_terminal(project, "ls", "--utc", columns=120)
    assert due in on_terminal(project, "show", job, "--utc")


def test_watching_goes_on_until_q(project: Project) -> None:
    project.enqueue("--", "first")
    with Terminal(project, "ls", "--watch") as terminal:
        terminal.wait_for("$ first")
        project.enqueue("--", "second")
        terminal.wait_for("$ second")
        terminal.press("q")
        assert terminal.end() == 0
        assert terminal.attributes() == terminal.before
    assert project.cronq("ls", "--watch").status == 64
    assert project.cronq("ls", "--watch", "--json").status == 64


def test_a_name_that_no_job_has_is_said_with_a_likely_one(project: Project) -> None:
    project.enqueue("--queue", "reports", "--", "true")
    ran = project.cronq("ls", "--queue", "report", "--task", "comand")
    assert (ran.status, ran.stdout) == (0, "")
    assert ran.stderr.splitlines() == [
        "cronq: no job has the queue 'report', did you mean 'reports'?",
        "cronq: no job has the task 'comand', did you mean 'command'?",
    ]
    assert "did you mean 'failed'" in project.cronq("ls", "--state", "faild").stderr
    assert project.cronq("-q", "ls", "--queue", "report").stderr == ""
    assert project.cronq("ls", "--queue", "report", "--json").stderr == ""


def test_errors_are_grouped_and_select(project: Project) -> None:
    for order in (1, 2):
        project.enqueue("give-up", f"why=no order {order}")
    project.enqueue("break", "why=other")
    project.cronq("run")
    alike, alone = (line.split("\t") for line in project.done("errors").splitlines())
    assert (alike[1:3], alike[5:]) == (["2", "2"], ["2", "give-up", "Fail: no order 2"])
    assert (alone[1:3], alone[6]) == (["1", "0"], "break")
    assert [job["id"] for job in project.jobs("--error", alike[0])] == [2, 1]
    assert [job["id"] for job in project.jobs("--error", "RuntimeError")] == [3]
    assert project.done("errors", "--state", "retrying", "--limit", "1").startswith(alone[0])
    assert alike[0] in on_terminal(project, "errors")
    assert project.done("retry", "--error", alike[0]).split() == ["1", "2"]
    assert project.done("retry", "--error", alike[0]) == ""


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


def test_failures_that_newer_jobs_hide_are_counted(project: Project) -> None:
    project.done("enqueue", "--stdin", stdin='{"task": "give-up"}\n' * 2 + '{"task": "break"}\n' * 3)
    project.cronq("run")
    project.done("enqueue", "--stdin", stdin='{"task": "say", "args": {"text": "x"}, "at": "+1h"}\n' * 17)
    shown = on_terminal(project, "ls", columns=80, rows=24)
    assert "only the newest 14 of 22 are shown; --limit 0 shows all" in shown
    assert "not shown are 2 failed, 3 retrying (--state failed,retrying)" in shown
    assert shown.count("\n") <= 22
    assert "not shown" not in on_terminal(project, "ls", "--state", "failed,retrying,scheduled", columns=80, rows=24)
