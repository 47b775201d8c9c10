"""Batches from a shell."""

from __future__ import annotations

import json

import pytest

from tests.cli.test_json import fits
from tests.project import Project


@pytest.fixture(scope="module")
def with_batch(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """A project to copy, with a batch; and the batch."""
    project = Project(tmp_path_factory.mktemp("batch"))
    opened = project.cronq("batch", "open", "nightly").stdout.strip()
    for command in ("true", "exit 100"):
        project.cronq("enqueue", "--batch", opened, "--", command)
    project.cronq("enqueue", "--after-end", f"batch:{opened}", "--", "echo done")
    return project, opened


@pytest.fixture
def batch(project: Project, with_batch: tuple[Project, str]) -> str:
    """An open batch of two jobs, and a job that comes after it: 1, 2 and 3."""
    filled, opened = with_batch
    project.copy_database(filled)
    return opened


def test_a_night(project: Project, batch: str) -> None:
    said = project.cronq("why", "3").stdout
    assert "is pending: it comes after batch 1 (nightly), which " in said
    assert "has not closed: `cronq batch close 1`" in said
    assert project.cronq("batch", "close", batch).status == 0
    assert "of which jobs have not ended: `cronq ls --batch 1`" in project.cronq("why", "3").stdout
    assert [job["id"] for job in json.loads(project.cronq("ls", "--batch", batch, "--json").stdout)] == [2, 1]
    project.cronq("run")
    assert project.show(3)["state"] == "finished"
    waited = project.cronq("wait", "batch:1")
    assert (waited.status, waited.stderr) == (1, "cronq: batch 1 (nightly) failed: 1 failed, 1 finished\n")
    assert project.cronq("retry", "--batch", batch).stdout == "2\n"
    assert project.cronq("batch", "ls").stdout.split("\t")[:3] == ["1", "running", "nightly"]


def test_what_is_shown(project: Project, batch: str) -> None:
    shown = project.cronq("batch", "show", f"batch:{batch}").stdout
    assert shown.startswith("batch      1 (nightly)\nstate      open\njobs       2 ready\nopened     ")
    assert shown.endswith("on failed  continue\nbefore     job 3 (pending)\n")
    told = fits("batch-show.json", project.cronq("batch", "show", batch, "--json").stdout)
    assert (told["counts"], told["closed_at"]) == ({"ready": 2}, None)
    assert fits("batch-ls.json", project.cronq("batch", "ls", "--unended", "--json").stdout) == [told]
    assert fits("batch-close.json", project.cronq("batch", "close", batch, "--json").stdout)["state"] == "running"
    assert fits("batch-open.json", project.cronq("batch", "open", "--on-failed", "cancel", "--json").stdout)["id"] == 2
    assert "batch         1 (nightly), running" in project.cronq("show", "1").stdout
    assert fits("show.json", project.cronq("show", "1", "--json").stdout)["batch"]["id"] == 1
    after = fits("show.json", project.cronq("show", "3", "--json").stdout)["after"]
    assert after == [{"id": None, "batch": 1, "kind": "after_end", "state": "running"}]
    assert "comes after   batch 1 in any case (running)" in project.cronq("show", "3").stdout


def test_a_whole_batch_is_cancelled(project: Project, batch: str) -> None:
    assert project.cronq("cancel", "--batch", batch, "--dry-run").stdout == "1\n2\n"
    assert project.cronq("cancel", "--batch", batch, "--state", "blocked").status == 0
    assert json.loads(project.cronq("batch", "show", batch, "--json").stdout)["state"] == "open"
    assert project.cronq("cancel", "--batch", batch).stdout == "1\n2\n"
    assert json.loads(project.cronq("batch", "show", batch, "--json").stdout)["state"] == "cancelled"
    assert project.show(3)["state"] == "ready"
    refused = project.cronq("enqueue", "--batch", batch, "--", "true")
    assert (refused.status, "batch 1 (nightly) ended at" in refused.stderr) == (65, True)
    empty = project.cronq("batch", "open").stdout.strip()
    assert project.cronq("cancel", "--batch", empty).status == 0
    assert json.loads(project.cronq("batch", "show", empty, "--json").stdout)["state"] == "cancelled"


def test_lines_of_json(project: Project, batch: str) -> None:
    lines = [
        {"command": "echo a", "batch": int(batch), "ref": "a"},
        {"command": "echo b", "batch": f"batch:{batch}", "after": "a"},
        {"command": "echo c", "after": ["a", f"batch:{batch}"]},
    ]
    ids = project.cronq("enqueue", "--stdin", stdin="\n".join(map(json.dumps, lines))).stdout.split()
    assert ids == ["4", "5", "6"]
    assert json.loads(project.cronq("batch", "show", batch, "--json").stdout)["members"] == 4


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("batch", "show", "7"), 1, "there is no batch 7"),
        (("batch", "close", "x"), 65, "'x' is not the id"),
        (("batch", "open", "--on-failed", "stop"), 65, "on_failed: expected 'continue' or 'cancel': got 'stop'"),
        (("batch", "ls", "--limit", "0"), 65, "--limit: '0' is not a whole number of at least 1"),
        (("enqueue", "--batch", "7", "--", "true"), 65, "there is no batch 7"),
        (("enqueue", "--after", "batch:7", "--", "true"), 65, "after: there is no batch 7"),
        (("wait", "batch:7"), 65, "there is no batch 7"),
        (("wait", "batch:1", "2"), 64, "either one batch:ID, or the IDs of jobs"),
        (("cancel", "--batch", "7"), 65, "there is no batch 7"),
    ],
)
def test_what_is_refused(project: Project, words: tuple[str, ...], status: int, said: str) -> None:
    project.make_database()
    answer = project.cronq(*words)
    assert (answer.status, said in answer.stderr) == (status, True), answer


def test_release_tells_what_it_did(project: Project, batch: str) -> None:
    released = project.cronq("release", "1", "3", "99", "--json")
    assert released.status == 1
    told = fits("release.json", released.stdout)
    assert told["jobs"] == [3]
    assert [one["id"] for one in told["refused"]] == [1, 99]
    assert "released by " in project.cronq("show", "3").stdout
    assert "; it was released by " in project.cronq("why", "3").stdout
    assert batch == "1"


def test_why_says_what_a_batch_waits_for_and_how_it_ended(project: Project, batch: str) -> None:
    said = project.done("why", "batch:1")
    assert said.startswith("Batch 1 (nightly) is open: ")
    assert said.endswith(
        " and has not closed it: 2 of 2 jobs have not ended, the first is job 1 (ready): `cronq why 1`."
    )
    project.done("batch", "close", batch)
    assert project.done("why", "batch:1").startswith("Batch 1 (nightly) is running: 2 of 2 jobs have not ended, ")
    project.done("run")
    said = project.done("why", "batch:1")
    assert said.startswith("Batch 1 (nightly) failed at ")
    assert said.endswith(
        ": 1 failed, 1 finished; job 2 failed with ExitStatus: exit status 100;"
        " `cronq retry --batch 1 --state failed` reopens it."
    )
    shown = fits("why.json", project.done("why", "batch:1", "1", "--json"))
    assert [one.get("batch", one.get("id")) for one in shown] == [1, 1]
    assert fits("why.json", project.done("why", "batch:1", "--json"))["state"] == "failed"
    empty = project.done("batch", "open")
    assert project.done("why", f"batch:{empty}").endswith(
        f" and has not closed it, and no job was added: `cronq batch close {empty}` lets it end."
    )
    project.done("batch", "close", empty)
    assert project.done("why", f"batch:{empty}").endswith(": no members.")
    ran = project.cronq("why", "batch:9")
    assert (ran.status, ran.stderr) == (1, "cronq: there is no batch 9\n")
