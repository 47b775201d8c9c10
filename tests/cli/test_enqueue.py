"""`cronq enqueue` and `cronq emit`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.project import Project
from tests.scale import times

LINES = times(2_000, full=100_000)

APP_WITH_EVENTS = """
@queue.on("shot.*")
@queue.task(name="thumb")
def thumb(url: str, width: int = 100) -> None: ...

@queue.on("shot.start", "#.start")
@queue.task(name="note-it")
def note_it(**fields: object) -> None: ...
"""


def test_arguments_become_what_the_signature_wants(project: Project) -> None:
    job = project.show(project.enqueue("add", "a=1", "b:=2"))
    assert (job["task"], job["args"], job["command"], job["state"]) == ("add", {"a": 1, "b": 2}, None, "ready")


def test_json_arguments_and_texts_with_equals_signs(project: Project) -> None:
    first = project.enqueue("--no-check", "any", "x:=[1, {}]", "y=a=b", "z=", "w:=null")
    assert project.show(first)["args"] == {"x": [1, {}], "y": "a=b", "z": "", "w": None}


def test_one_word_is_a_line_for_the_shell_and_several_are_a_program(project: Project) -> None:
    line = project.enqueue("--", "echo a; echo b")
    program = project.enqueue("--queue", "q", "--", "printf", "%s|", "--queue", "a b")
    project.done("run")
    assert project.show(line)["output"]["stdout"] == "a\nb\n"
    shown = project.show(program)
    assert shown["output"]["stdout"] == "--queue|a b|"
    assert (shown["queue"], shown["command"]) == ("q", ["printf", "%s|", "--queue", "a b"])


def test_all_options_arrive(project: Project) -> None:
    options = ["--queue=mail", "--priority=7", "--at", "2099-01-02T03:04:05+01:00", "--group=g", "--key=k"]
    limits = ["--unique", "--max-attempts=3", "--time-limit", "2m"]
    job = project.show(project.enqueue(*options, *limits, "say", "text=hi"))
    expected = {
        "queue": "mail", "priority": 7, "available_at": "2099-01-02T02:04:05.000000Z", "group": "g", "key": "k",
        "unique": True, "max_attempts": 3, "time_limit": 120, "state": "scheduled",
    }  # fmt: skip
    assert {name: job[name] for name in expected} == expected


def test_a_twin_is_found_and_said_so(project: Project) -> None:
    first = json.loads(project.done("enqueue", "--key=k", "--unique", "--json", "say", "text=1"))
    twin = json.loads(project.done("enqueue", "--key=k", "--unique", "--json", "say", "text=2"))
    assert (first["existing"], twin["existing"]) == (False, True)
    assert twin | {"existing": False} == first
    assert project.enqueue("--key=k", "--unique", "say", "text=3") == first["id"]


def test_producer_without_the_code(project: Project) -> None:
    project.write("jobs.py", "raise RuntimeError('not here')")
    assert project.cronq("enqueue", "elsewhere", "n=1").status == 78
    assert project.show(project.enqueue("--no-check", "elsewhere", "n=1"))["args"] == {"n": "1"}
    assert project.enqueue("--", "true")


def lines(*specs: Any) -> str:
    return "".join(f"{spec if isinstance(spec, str) else json.dumps(spec)}\n" for spec in specs)


def test_stdin_takes_tasks_and_commands_in_order(project: Project) -> None:
    given = lines(
        {"task": "add", "args": {"a": 1, "b": 2}, "priority": 3},
        "",
        {"command": ["echo", "ü"], "queue": "q", "at": "+1h", "max_attempts": 2, "time_limit": "5s"},
        {"task": "say", "args": {"text": "x"}, "key": "k", "unique": True, "group": "g"},
    )
    ids = [int(line) for line in project.done("enqueue", "--stdin", stdin=given).splitlines()]
    assert ids == sorted(ids)
    shown = [project.show(job) for job in ids]
    assert [job["task"] for job in shown] == ["add", "command", "say"]
    assert shown[1]["command"] == ["echo", "ü"]
    assert (shown[1]["max_attempts"], shown[1]["time_limit"], shown[1]["state"]) == (2, 5, "scheduled")


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ("{", "line 3: not JSON"),
        ("[1]", "line 3: not a JSON object"),
        ({"task": "nobody"}, "line 3: unknown task 'nobody'"),
        ({"task": "add", "args": {"a": 1}}, "line 3: add: missing argument 'b'"),
        ({"task": "say", "args": {"text": "x"}, "prio": 1}, "line 3: unknown key 'prio'"),
        ({"task": "say", "command": "x"}, "line 3: a job needs either"),
        ({"command": []}, "line 3: command: expected"),
        ({"task": "say", "args": {"text": "x"}, "priority": "high"}, "line 3: priority: expected"),
        ({"task": "say", "args": {"text": "x"}, "at": "soon"}, "line 3: at: 'soon'"),
        ({"task": "say", "args": {"text": "x"}, "unique": True}, "line 3: unique: "),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_inserted(project: Project, bad: Any, text: str) -> None:
    project.make_database()
    good = {"task": "say", "args": {"text": "x"}}
    ran = project.cronq("enqueue", "--stdin", stdin=lines(good, "", bad, good))
    assert (ran.status, ran.stdout) == (65, "")
    assert ran.stderr.startswith(f"cronq: {text}")
    assert ran.stderr.count("\n") == 1
    assert project.sql("SELECT * FROM cronq_jobs") == []


def test_stdin_json_is_an_array(project: Project) -> None:
    given = lines({"command": "true"}, {"command": "false"})
    jobs = json.loads(project.done("enqueue", "--stdin", "--json", stdin=given))
    assert [(job["command"], job["existing"]) for job in jobs] == [("true", False), ("false", False)]


def test_what_ls_prints_gives_jobs_with_the_same_options(project: Project) -> None:
    there = str(project.directory)
    specs = [
        {"task": "add", "args": {"a": 1, "b": 2}, "priority": 0, "base": "5s", "cap": "1m", "jitter": 0.0},
        {"command": "pwd", "cwd": there, "queue": "q", "max_attempts": 2, "time_limit": 5, "jitter": 0.5, "group": "g"},
        {"task": "say", "args": {"text": "x"}, "key": "k", "at": "2040-01-01T00:00:00Z"},
    ]
    project.done("enqueue", "--stdin", stdin=lines(*specs))
    listed = project.done("ls", "--sort", "id", "--json")
    shown = [project.show(int(job)) for job in project.done("enqueue", "--stdin", stdin=listed).split()]
    for one, other in zip(shown, json.loads(listed), strict=True):
        assert {name for name in other if one[name] != other[name]} <= {"id", "created_at", "available_at"}
    assert [job["retry"] for job in shown] == [{"base": 5, "cap": 60, "jitter": 0}, {"jitter": 0.5}, None]
    assert [job["args"] for job in shown] == [{"a": 1, "b": 2}, {"cwd": there}, {"text": "x"}]
    assert [job["priority"] for job in shown] == [0, 50, 50]
    assert shown[2]["available_at"] == "2040-01-01T00:00:00.000000Z"


@pytest.mark.slow
def test_stdin_takes_many_lines_in_one_transaction(project: Project) -> None:
    given = lines({"task": "say", "args": {"text": "x"}}) * LINES
    ids = project.done("enqueue", "--stdin", stdin=given).splitlines()
    assert (len(ids), ids[0], ids[-1]) == (LINES, "1", str(LINES))
    bad = project.cronq("enqueue", "--stdin", stdin=given + "x\n")
    assert bad.stderr.startswith(f"cronq: line {LINES + 1}: not JSON")
    assert json.loads(project.done("status", "--json"))["queues"] == {"default": {"ready": LINES}}


def test_emit_makes_a_job_for_each_subscriber(project: Project) -> None:
    project.write("jobs.py", (project.directory / "jobs.py").read_text() + APP_WITH_EVENTS)
    ids = project.done("emit", "shot.start", "url=https://example.org", "by=ann").splitlines()
    jobs = [project.show(int(job)) for job in ids]
    assert [(job["task"], job["event"]) for job in jobs] == [("thumb", "shot.start"), ("note-it", "shot.start")]
    assert jobs[0]["args"] == {"url": "https://example.org"}
    assert jobs[1]["args"] == {"url": "https://example.org", "by": "ann"}


def test_emit_without_a_subscriber_says_so(project: Project) -> None:
    ran = project.cronq("emit", "nobody.cares")
    assert (ran.status, ran.stdout) == (0, "")
    assert "event nobody.cares: no task has subscribed" in ran.stderr
    assert json.loads(project.done("emit", "nobody.cares", "--json")) == []


def test_a_command_runs_in_the_directory_that_was_named(project: Project) -> None:
    there = project.directory / "there"
    there.mkdir()
    here = project.enqueue("--", "pwd")
    named = project.enqueue("--cwd", "./there", "--", "pwd")
    gone = project.enqueue("--cwd", "/no/such place", "--max-attempts", 1, "--", "pwd")
    listed = project.cronq("ls", "--json").stdout
    line = json.dumps({"command": "pwd", "cwd": str(there)})
    found = json.loads(listed)
    again = next({"command": job["command"], "args": job["args"]} for job in found if job["id"] == int(named))
    ran = project.cronq("enqueue", "--stdin", stdin=f"{line}\n{json.dumps(again)}\n")
    project.cronq("run")
    printed = [project.show(job)["output"]["stdout"] for job in (here, named, *map(int, ran.stdout.split()))]
    assert printed == [f"{project.directory}\n", *[f"{there}\n"] * 3]
    assert "/no/such place: No such file or directory" in project.show(gone)["error"]["message"]
    assert f"in{there}" in "".join(project.cronq("show", named).stdout.split())


@pytest.mark.parametrize(
    ("arguments", "stdin", "status", "text"),
    [
        (["enqueue", "--cwd", "/", "add", "a=1", "b=2"], "", 64, "--cwd is for a CMD after --"),
        (["enqueue", "--stdin"], '{"command": "pwd", "cwd": "there"}', 65, "cwd: expected the absolute path"),
        (["enqueue", "--stdin"], '{"task": "add", "args": {"a": 1, "b": 2}, "cwd": "/"}', 65, "only a command has one"),
    ],
)
def test_a_directory_that_makes_no_sense_is_refused(
    project: Project, arguments: list[str], stdin: str, status: int, text: str
) -> None:
    ran = project.cronq(*arguments, stdin=stdin)
    assert (ran.status, text in ran.stderr) == (status, True), ran
