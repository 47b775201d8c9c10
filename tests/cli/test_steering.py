"""pause, resume, drain and wait: several queues and jobs at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_json import fits
from tests.project import ROOT, Project
from tests.waiting import wait_until

ADD: dict[str, Any] = {"task": "add", "args": {"a": 1, "b": 2}}
SAY: dict[str, Any] = {"task": "say", "args": {"text": "x"}}


@pytest.fixture
def queues(project: Project) -> Project:
    """A job in each of three queues."""
    project.enqueue_all(*(SAY | {"queue": queue} for queue in ("mail-a", "mail-b", "reports")))
    return project


def paused(project: Project) -> list[str]:
    found: list[str] = json.loads(project.done("status", "--json"))["paused"]
    return found


def test_pause_and_resume_take_patterns_and_all(queues: Project) -> None:
    assert queues.done("pause", "mail*").split() == ["mail-a", "mail-b"]
    assert paused(queues) == ["mail-a", "mail-b"]
    assert queues.done("pause", "reports") == ""
    assert fits("resume.json", queues.done("resume", "!mail*", "--json")) == {"queues": ["reports"], "paused": False}
    assert paused(queues) == ["mail-a", "mail-b"]
    assert fits("pause.json", queues.done("pause", "--all", "--json"))["queues"] == ["mail-a", "mail-b", "reports"]
    assert queues.done("resume", "--all").split() == ["mail-a", "mail-b", "reports"]
    assert paused(queues) == []
    assert queues.cronq("pause", "nothing*").stderr == "cronq: QUEUE: no queue matches 'nothing*'\n"
    assert queues.cronq("ls", "--queue", "nothing*").stderr == "cronq: no job has the queue 'nothing*'\n"
    for words in (("pause",), ("pause", "--all", "reports"), ("resume",)):
        assert queues.cronq(*words).status == 64


def test_drain_pauses_and_waits_until_nothing_runs(queues: Project, tmp_path: Path) -> None:
    go = tmp_path / "go"
    job = queues.enqueue("--queue", "slow", "--", f"while [ ! -e {go} ]; do sleep 0.05; done")
    with queues.start("run", "--queue", "slow") as run:
        wait_until(lambda: queues.state(job) == "running", seconds=60)
        ran = queues.cronq("drain", "slow", "--timeout", "0")
        assert (ran.status, ran.stdout) == (75, "")
        assert ran.stderr == f"cronq: the queues are paused, but 1 job still runs: {job}\n"
        assert paused(queues) == ["slow"]
        with queues.start("drain", "slow", "--json") as drain:
            go.touch()
            printed, _ = drain.communicate(timeout=60)
        assert (drain.returncode, fits("drain.json", printed)) == (0, {"queues": ["slow"], "paused": True})
        run.communicate(timeout=60)
    assert queues.show(job)["state"] == "finished"


def test_wait_for_several_and_for_a_selection(project: Project) -> None:
    good, bad, other = project.enqueue_all(ADD, {"task": "give-up"}, {"command": "true"})
    with project.start("wait", good, bad, "last") as waiting, project.start("wait", "--state", "ready") as selected:
        wait_until(lambda: _opened(project, waiting.pid) and _opened(project, selected.pid), seconds=60)
        project.cronq("run")
        lines = waiting.communicate(timeout=60)[0].splitlines()
        chosen = selected.communicate(timeout=60)[0].splitlines()
    assert sorted(lines) == sorted(chosen)
    assert f"{good}\tfinished\t3" in lines
    assert f"{bad}\tfailed\tFail: hopeless" in lines
    assert f"{other}\tfinished\tnull" in lines
    assert (waiting.returncode, selected.returncode) == (1, 1)
    shown = fits("wait.json", project.done("wait", good, other, "--json"))
    assert {one["id"]: one["result"] for one in shown} == {good: 3, other: None}
    assert project.cronq("wait", "--queue", "default").status == 0
    ran = project.cronq("wait", good, 99)
    assert (ran.status, ran.stderr) == (1, "cronq: there is no job 99\n")
    later = project.enqueue("--at", "+1h", "--", "true")
    ran = project.cronq("wait", good, later, "--timeout", "0")
    assert (ran.status, ran.stdout, ran.stderr) == (
        75, f"{good}\tfinished\t3\n", f"cronq: 1 job has not ended yet: {later}\n"
    )  # fmt: skip


def _opened(project: Project, pid: int) -> bool:
    links = Path(f"/proc/{pid}/fd").iterdir()
    return any(str(link.readlink()) == str(project.database) for link in links if link.is_symlink())


def test_show_and_why_take_several_jobs_and_the_last_one(project: Project) -> None:
    first, second = project.enqueue_all(ADD, SAY)
    shown = project.done("show", first, "last")
    assert [line for line in shown.splitlines() if line.startswith("job ")] == [
        f"job {first}: add, ready", f"job {second}: say, ready",
    ]  # fmt: skip
    assert [job["id"] for job in fits("show.json", project.done("show", first, second, "--json"))] == [first, second]
    assert fits("show.json", project.done("show", "last", "--json"))["id"] == second
    assert len(project.done("why", first, second).splitlines()) == 2
    assert [one["id"] for one in fits("why.json", project.done("why", first, "last", "--json"))] == [first, second]
    ran = project.cronq("why", 98, first, 99)
    assert (ran.status, len(ran.stdout.splitlines())) == (1, 1)
    assert ran.stderr == "cronq: there is no job 98 and no job 99\n"


def test_what_was_changed_as_json(project: Project) -> None:
    project.make_database()
    assert project.cronq("show", "last").stderr == "cronq: there is no job yet\n"
    failed, ready = project.enqueue_all({"task": "give-up"}, {"command": "true", "at": "+1h"})
    project.cronq("run")
    rehearsed = fits("retry.json", project.done("retry", "--state", "failed", "--dry-run", "--json"))
    assert rehearsed == {"number": 1, "jobs": [failed], "refused": [], "dry_run": True}
    ran = project.cronq("retry", failed, 99, "--json")
    assert ran.status == 1
    assert fits("retry.json", ran.stdout) == {
        "number": 1, "jobs": [failed], "refused": [{"id": 99, "reason": "there is no job 99"}], "dry_run": False,
    }  # fmt: skip
    assert fits("cancel.json", project.done("cancel", "--state", "scheduled", "--json"))["jobs"] == [ready]
    assert fits("cancel.json", project.done("cancel", "--key", "none", "--json"))["jobs"] == []
    assert fits("cancel.json", project.done("cancel", failed, "--dry-run", "--json"))["dry_run"]
    cleared = fits("clear-finished.json", project.done("clear-finished", "--state", "cancelled", "--json"))
    assert cleared == {"number": 1, "jobs": None, "refused": [], "dry_run": False}


def test_edit_changes_jobs_that_do_not_run(project: Project) -> None:
    job, ended = project.enqueue_all(SAY | {"group": "g"}, ADD | {"queue": "q"})
    project.cronq("run", "--queue", "q")
    words = ("--priority", 5, "--queue", "slow", "--at", "2099-01-02T03:04:05Z", "--no-group", "--time-limit", "1h30m")
    assert project.done("edit", job, *words) == str(job)
    shown = fits("show.json", project.done("show", job, "--json"))
    assert (shown["state"], shown["priority"], shown["queue"], shown["group"], shown["time_limit"]) == (
        "scheduled", 5, "slow", None, 5400,
    )  # fmt: skip
    ran = project.cronq("edit", job, ended, "--at", "+0", "--json")
    assert ran.status == 1
    reason = f"job {ended} is finished and can't be edited"
    assert fits("edit.json", ran.stdout) == {
        "number": 1, "jobs": [job], "refused": [{"id": ended, "reason": reason}], "dry_run": False,
    }  # fmt: skip
    assert project.show(job)["state"] == "ready"
    assert project.cronq("edit", job).status == 64
    assert project.cronq("edit", job, "--priority", "1000").status == 65
    assert project.cronq("edit", job, "--group", "g", "--no-group").status == 64


def test_copy_needs_a_drained_queue_and_leaves_it_paused(queues: Project) -> None:
    queues.done("pause", "mail-a")
    other = f"sqlite:///{queues.directory}/other.db"
    ran = queues.cronq("copy", "--to", other)
    assert (ran.status, ran.stderr) == (75, "cronq: queue mail-b isn't paused (cronq drain --all)\n")
    queues.done("drain", "--all")
    assert fits("copy.json", queues.done("copy", "--to", other, "--json"))["jobs"] == 3
    assert queues.done("--db", other, "resume", "--all").split() == ["mail-a", "mail-b", "reports"]
    assert len(queues.jobs("--db", other, "--state", "ready")) == 3
    assert paused(queues) == ["mail-a", "mail-b", "reports"]
    assert queues.cronq("copy", "--to", other).status == 65


def test_what_ls_lists_can_be_enqueued(project: Project) -> None:
    project.enqueue("add", "a=1", "b=2", "--queue", "q", "--key", "k", "--unique", "--time-limit", "5s")
    project.enqueue("--at", "2099-01-02T03:04:05Z", "--group", "g", "--", "true")
    listed = project.done("ls", "--json", "--sort", "id")
    project.done("cancel", "--state", "ready,scheduled")
    copied = [int(line) for line in project.done("enqueue", "--stdin", stdin=listed).split()]
    originals = json.loads(listed)
    fields = ("task", "args", "command", "queue", "priority", "key", "unique", "group", "state", "time_limit")
    shown = json.loads(project.done("show", *copied, "--json"))
    for new, old in zip(shown, originals, strict=True):
        assert {name: new[name] for name in fields} == {name: old[name] for name in fields}
    assert shown[1]["available_at"] == originals[1]["available_at"]
    lines = json.dumps(originals[1]) + "\n"
    assert len(project.done("enqueue", "--stdin", stdin=lines * 2).split()) == 2
    ran = project.cronq("enqueue", "--stdin", stdin="[" + lines + ", 7]")
    assert (ran.status, ran.stderr) == (65, "cronq: job 2: not a JSON object\n")


def test_completions_and_the_manual_are_printed(project: Project) -> None:
    packaging = ROOT / "packaging"
    for shell, name in (("bash", "cronq.bash"), ("zsh", "_cronq"), ("fish", "cronq.fish")):
        assert project.done("completion", shell) == (packaging / "completions" / name).read_text().rstrip("\n")
    assert project.done("man") == (packaging / "man" / "cronq.1").read_text().rstrip("\n")
    assert project.cronq("completion", "csh").status == 65
