"""retry, cancel, clear-finished, update-schema, wait."""

from __future__ import annotations

import json
import re

import pytest

from tests.project import Project
from tests.terminal import Terminal, on_terminal
from tests.waiting import wait_until

STATES = ("finished", "failed", "scheduled", "ready")
SAY = {"task": "say", "args": {"text": "x"}}
GIVE_UP = {"task": "give-up"}


@pytest.fixture(scope="module")
def with_ended(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project to copy, with one job in each of four states."""
    project = Project(tmp_path_factory.mktemp("ended"))
    project.enqueue_all({"task": "add", "args": {"a": 1, "b": 2}}, GIVE_UP | {"queue": "q"}, SAY | {"at": "+1h"})
    project.cronq("run")
    project.enqueue_all(SAY)
    return project


@pytest.fixture
def ended(project: Project, with_ended: Project) -> dict[str, int]:
    """One job in each of four states."""
    project.copy_database(with_ended)
    return {state: job for job, state in enumerate(STATES, start=1)}


def states(project: Project) -> dict[int, str]:
    return dict(project.sql("SELECT id, state FROM cronq_jobs"))


def test_retry_by_ids_changes_what_has_ended_and_names_the_rest(project: Project, ended: dict[str, int]) -> None:
    ran = project.cronq("retry", ended["failed"], ended["finished"], ended["ready"], 99)
    assert (ran.status, ran.stdout.split()) == (1, [str(ended["finished"]), str(ended["failed"])])
    ready = f"cronq: job {ended['ready']} is ready and can't be retried"
    assert ran.stderr.splitlines() == [ready, "cronq: there is no job 99"]
    assert set(states(project).values()) == {"ready", "scheduled"}


def test_retry_by_selection_takes_failed_ones_only(project: Project, ended: dict[str, int]) -> None:
    assert project.done("retry", "--task", "add") == ""
    assert project.done("retry", "--queue", "q", "--dry-run") == str(ended["failed"])
    assert states(project)[ended["failed"]] == "failed"
    assert project.done("retry", "--state", "finished,failed").split() == [
        str(ended["finished"]),
        str(ended["failed"]),
    ]


def test_retry_makes_what_is_not_due_yet_due(project: Project, ended: dict[str, int]) -> None:
    assert project.done("retry", ended["scheduled"]) == str(ended["scheduled"])
    assert states(project)[ended["scheduled"]] == "ready"
    broken, asleep = project.enqueue_all(*({"queue": "x", "command": f"exit {status}"} for status in (1, 75)))
    project.cronq("run")
    assert (project.state(broken), project.state(asleep)) == ("retrying", "waiting")
    assert project.done("retry", "--queue", "x", "--dry-run") == str(broken)
    assert project.done("retry", "--queue", "x", "--now").split() == [str(broken), str(asleep)]
    assert project.show(broken)["attempt"] == 1
    assert project.cronq("retry", "--now", ended["finished"]).status == 1


def test_retry_copies(project: Project, ended: dict[str, int]) -> None:
    copied = int(project.done("retry", "--copy", ended["finished"]))
    assert copied not in ended.values()
    assert (project.show(copied)["args"], project.show(copied)["state"]) == ({"a": 1, "b": 2}, "ready")
    assert states(project)[ended["finished"]] == "finished"
    assert project.done("retry", "--copy", "--queue", "q", "--dry-run") == str(ended["failed"])
    assert int(project.done("retry", "--copy", "--queue", "q")) == copied + 1
    twin = project.enqueue("--key=k", "--unique", "say", "text=x")
    ran = project.cronq("retry", "--copy", twin, 99)
    assert (ran.status, ran.stdout) == (1, "")
    assert f"job {twin} was not copied: job {twin} has the same unique key" in ran.stderr
    assert "there is no job 99" in ran.stderr
    assert project.cronq("retry", "--copy", "--now", "1").status == 64


@pytest.mark.usefixtures("ended")
def test_a_selection_without_jobs_that_can_be_changed_says_so(project: Project) -> None:
    ran = project.cronq("retry", "--task", "say")
    assert (ran.status, ran.stdout) == (1, "")
    told = "no failed or retrying job matches, but 1 ready and 1 scheduled do (--state or --now)"
    assert ran.stderr == f"cronq: nothing was retried: {told}\n"
    ran = project.cronq("retry", "--state", "ready")
    assert (ran.status, ran.stderr) == (
        1,
        "cronq: nothing was retried: no such job matches, but 1 ready does (--state or --now)\n",
    )
    ran = project.cronq("cancel", "--task", "add")
    assert (ran.status, ran.stdout) == (0, "")
    assert ran.stderr.startswith("cronq: nothing was cancelled: no blocked or pending or ready")
    assert project.cronq("retry", "--task", "nothing").stderr == "cronq: no job has the task 'nothing'\n"


def test_retry_gives_fresh_attempts_and_keeps_the_history(project: Project, ended: dict[str, int]) -> None:
    project.done("retry", ended["failed"])
    project.cronq("run")
    job = project.show(ended["failed"])
    assert (job["state"], job["attempt"]) == ("failed", 1)
    assert [attempt["number"] for attempt in job["attempts"]] == [1, 2]


def test_retry_is_refused_while_a_twin_is_unfinished(project: Project) -> None:
    failed = project.enqueue("--key=k", "--unique", "give-up")
    project.cronq("run")
    twin = project.enqueue("--key=k", "--unique", "give-up")
    ran = project.cronq("retry", failed)
    assert (ran.status, ran.stdout) == (65, "")
    assert f"job {twin} " in ran.stderr
    assert states(project)[failed] == "failed"


def test_cancel_by_ids_and_by_selection(project: Project, ended: dict[str, int]) -> None:
    by_selection = project.done("cancel", "--task", "say", "--dry-run").split()
    assert by_selection == [str(ended["scheduled"]), str(ended["ready"])]
    ran = project.cronq("cancel", *ended.values())
    assert ran.stderr == f"cronq: job {ended['finished']} is finished and can't be cancelled\n"
    assert (ran.status, len(ran.stdout.split())) == (1, 3)
    assert sorted(states(project).values()) == ["cancelled", "cancelled", "cancelled", "finished"]


def test_cancel_leaves_running_jobs_alone_without_kill(project: Project) -> None:
    job = project.enqueue("--", "sleep", "60")
    with project.start("run") as run:
        wait_until(lambda: project.state(job) == "running")
        ran = project.cronq("cancel", job)
        assert (ran.status, ran.stderr) == (1, f"cronq: job {job} is running and can't be cancelled without --kill\n")
        assert project.done("cancel", "--kill", job) == str(job)
        run.communicate(timeout=60)
    assert states(project)[job] == "cancelled"


def test_a_selection_retries_all_but_twins(project: Project) -> None:
    failed, other = project.enqueue_all(GIVE_UP | {"key": "k", "unique": True}, GIVE_UP)
    project.cronq("run")
    twin = project.enqueue("--key=k", "--unique", "give-up")
    ran = project.cronq("retry", "--state", "failed")
    assert (ran.status, ran.stdout) == (1, f"{other}\n")
    told = f"1 job was not retried, because an unfinished one has the same unique key: {failed} (job {twin})"
    assert ran.stderr == f"cronq: {told}\n"


def test_many_jobs_on_a_terminal(project: Project) -> None:
    project.done("enqueue", "--stdin", stdin='{"command": "true", "queue": "bulk"}\n' * 1200)
    assert "1,200" in on_terminal(project, "cancel", "--queue", "bulk", "--dry-run")
    with Terminal(project, "cancel", "--queue", "bulk") as terminal:
        terminal.wait_for("cancel 1,200 jobs? [y/N]")
        terminal.press("n\n")
        assert terminal.end() == 1
        assert "nothing was changed" in terminal.text
    printed = on_terminal(project, "cancel", "--queue", "bulk", "--yes")
    assert "1200/1200" in printed
    assert "1,200 jobs cancelled" in printed
    assert len(project.done("retry", "--queue", "bulk", "--state", "cancelled").splitlines()) == 1200


def test_who_did_it_is_told_to_the_log(project: Project, ended: dict[str, int]) -> None:
    ran = project.cronq("-v", "retry", "--queue", "q")
    assert re.search(r"retry --queue q: 1 job, by \S+@\S+", ran.stderr), ran.stderr
    assert "by" not in project.cronq("-v", "retry", "--queue", "q").stderr
    ran = project.cronq("-v", "cancel", ended["ready"])
    assert f"cancel {ended['ready']}: 1 job, by" in ran.stderr


def test_the_log_tells_who_put_a_job_back_to_execute_it(project: Project, ended: dict[str, int]) -> None:
    assert f"exec {ended['failed']}: 1 job, by" in project.cronq("-v", "exec", ended["failed"]).stderr
    assert "job, by" not in project.cronq("-v", "exec", ended["ready"]).stderr


@pytest.mark.parametrize("words", ["batch close", "cancel --batch"])
def test_the_log_tells_who_ended_a_batch(project: Project, words: str) -> None:
    command = (*words.split(), project.done("batch", "open"))
    assert f"{' '.join(command)}: by " in project.cronq("-v", *command).stderr
    assert ": by " not in project.cronq("-v", *command).stderr


def test_the_log_tells_what_a_change_did_before_it_failed(project: Project) -> None:
    project.done("enqueue", "--stdin", stdin='{"command": "true"}\n' * 1001)
    project.sql(
        "CREATE TRIGGER full BEFORE UPDATE ON cronq_jobs WHEN new.id = 1001 BEGIN SELECT RAISE(ABORT, 'no room'); END"
    )
    ran = project.cronq("-v", "cancel", "--state", "ready")
    assert ran.status != 0
    assert "cancel --state ready: 1000 jobs, by" in ran.stderr
    project.sql("DROP TRIGGER full")
    project.sql(
        "CREATE TRIGGER full AFTER INSERT ON cronq_jobs WHEN new.id > 2001 BEGIN SELECT RAISE(ABORT, 'no room'); END"
    )
    ran = project.cronq("-v", "retry", "--copy", "--state", "ready,cancelled")
    assert ran.status != 0
    assert "retry --copy --state ready,cancelled: 1000 jobs, by" in ran.stderr


def test_clear_finished_by_selection(project: Project, ended: dict[str, int]) -> None:
    assert project.done("clear-finished", "--queue", "q", "--dry-run") == ""
    assert project.done("clear-finished", "--state", "failed", "--error", "Fail", "--dry-run") == str(ended["failed"])
    assert project.done("clear-finished", "--state", "failed", "--older-than", "1h") == "0"
    assert project.done("clear-finished", "--task", "add") == "1"
    assert set(states(project)) == {ended["failed"], ended["scheduled"], ended["ready"]}
    assert project.cronq("clear-finished", "1", "--older-than", "1d").status == 64


def test_clear_finished(project: Project, ended: dict[str, int]) -> None:
    assert project.done("clear-finished", "1") == "0"
    assert project.done("clear-finished", "36h") == "0"
    assert project.done("clear-finished") == "1"
    assert project.done("clear-finished", "--state", "failed", "--state", "cancelled") == "1"
    assert set(states(project)) == {ended["scheduled"], ended["ready"]}


def test_update_schema_can_be_repeated(project: Project) -> None:
    for _ in range(2):
        assert project.done("update-schema").endswith("is up to date")
    assert project.done("-q", "update-schema") == ""


def test_wait_prints_the_result_as_json(project: Project) -> None:
    job, text = project.enqueue("add", "a=1", "b=2"), project.enqueue("--", "true")
    with project.start("wait", job) as waiting:
        project.done("run")
        assert waiting.communicate(timeout=60)[0] == "3\n"
        assert waiting.returncode == 0
    assert json.loads(project.done("wait", text)) is None


def test_wait_tells_how_a_job_ended(project: Project, ended: dict[str, int]) -> None:
    ran = project.cronq("wait", ended["failed"])
    assert (ran.status, ran.stdout) == (1, "")
    assert "hopeless" in ran.stderr
    project.done("cancel", ended["ready"])
    assert project.cronq("wait", ended["ready"]).status == 1
    late = project.cronq("wait", ended["scheduled"], "--timeout", "0.1s")
    assert (late.status, late.stderr) == (75, f"cronq: job {ended['scheduled']} has not ended yet: scheduled\n")
