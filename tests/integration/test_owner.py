"""A SQLite queue and the other users of its host: real ones, which only root can become."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cronq.storage.drivers import sqlite_reading
from tests import frameworks, scale, warm
from tests.integration.running import Queue
from tests.project import ROOT, Project, Ran
from tests.started import Process

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")

OTHER = 65534
NAME = pwd.getpwuid(OTHER).pw_name


@pytest.fixture
def queue() -> Iterator[Queue]:
    """A queue in a directory that every user can reach."""
    directory = Path(tempfile.mkdtemp(prefix="cronq-owner-"))
    directory.chmod(0o755)
    try:
        with Queue(Project(directory)) as queue:
            yield queue
    finally:
        shutil.rmtree(directory)


def give_away(queue: Queue) -> None:
    """Make everything the other user's."""
    for path in (queue.directory, *queue.directory.rglob("*")):
        os.chown(path, OTHER, OTHER)


def as_other(queue: Queue, *arguments: str, stdin: str = "") -> Ran:
    """The command, called by the other user."""
    config = {"CRONQ_CONFIG": str(queue.directory / "cronq.toml")}
    return queue.project.cronq(*arguments, stdin=stdin, env=config, user=OTHER)


def all_as_other(queue: Queue, commands: Sequence[Sequence[str]]) -> list[Ran]:
    """The commands one after the other, called by the other user."""
    return [as_other(queue, *command) for command in commands]


def python(queue: Queue, program: str, *arguments: int) -> Process:
    """Start a program of the queue's owner without waiting."""
    environment = queue.project.environment | {"PYTHONPATH": str(ROOT)}
    command = warm.Command(["-c", program, *map(str, arguments)], queue.directory, environment)
    return warm.start(frameworks.IMPORTED, command)


def files(queue: Queue) -> dict[Path, int]:
    """Every file with its owner."""
    return {path: path.lstat().st_uid for path in queue.directory.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.parametrize("verb", [("run",), ("work", "--idle-exit", "0"), ("serve-inetd",)], ids=lambda verb: verb[0])
def test_root_does_not_run_the_queue_of_another_user(queue: Queue, verb: tuple[str, ...]) -> None:
    job = queue.command("touch here", max_attempts=1)
    queue.app.close()
    give_away(queue)
    before = files(queue)
    config = str(queue.directory / "cronq.toml")
    ran = queue.project.cronq("--config", config, *verb, stdin=f"{job}\n")
    assert ran.status == 78
    said = f"this queue belongs to {NAME}: runuser -u {NAME} -- cronq {verb[0]}\n"
    assert ran.stderr == f"cronq: {queue.project.database}: {said}"
    assert files(queue) == before
    assert queue.state(job) == "ready"


@pytest.mark.parametrize("verb", [("run",), ("work", "--idle-exit", "0"), ("serve-inetd",)], ids=lambda verb: verb[0])
def test_another_user_does_not_run_the_queue_of_root(queue: Queue, verb: tuple[str, ...]) -> None:
    job = queue.command("true")
    queue.app.close()
    before = files(queue)
    ran = as_other(queue, *verb, stdin=f"{job}\n")
    assert ran.status == 78
    assert ran.stderr.endswith(f"this queue belongs to root: sudo -u root cronq {verb[0]}\n")
    assert files(queue) == before
    assert queue.state(job) == "ready"


def test_the_owner_runs_it(queue: Queue) -> None:
    job = queue.command("id -u > here")
    queue.app.close()
    give_away(queue)
    ran = as_other(queue, "run")
    assert ran == (0, "", "")
    assert (queue.directory / "here").read_text() == f"{OTHER}\n"
    assert queue.state(job) == "finished"


READING = [
    ("ls",), ("ls", "--json"), ("show", "1"), ("show", "1", "--output"), ("status",), ("why", "1"), ("errors",),
    ("workers",), ("top", "--once"), ("tail", "1"), ("wait", "1"), ("metrics",), ("health", "-c", "failed=9"),
]  # fmt: skip
"""Commands that only read, of a queue whose job 1 has finished."""


def contents(queue: Queue) -> dict[Path, tuple[int, bytes]]:
    """Every file with its owner and what it holds; not the index of SQLite's log, where readers leave marks."""
    found = {path: owner for path, owner in files(queue).items() if path.is_file() and path.suffix != ".db-shm"}
    return {path: (owner, path.read_bytes()) for path, owner in found.items()}


CRASHING = """
import os
from cronq import Cronq
Cronq.from_config().command("true", at="+1h")
os._exit(9)
"""


@pytest.mark.parametrize("state", ["at rest", "in use", "left by a crash"])
def test_who_may_read_the_queue_sees_it_and_changes_nothing(queue: Queue, state: str) -> None:
    queue.command("echo hello")
    assert queue.run().stderr == ""
    queue.app.close()
    if state == "in use":
        queue.command("true", at="+1h")
    elif state == "left by a crash":
        with python(queue, CRASHING) as crashed:
            assert crashed.wait(60) == 9
    before = contents(queue)
    seen = dict(zip(READING, all_as_other(queue, READING), strict=True))
    assert [(verb, ran.stderr) for verb, ran in seen.items() if ran.status or ran.stderr] == []
    assert contents(queue) == before
    listed = [line.split("\t")[0] for line in seen["ls",].stdout.splitlines()]
    assert listed == (["1"] if state == "at rest" else ["2", "1"])
    assert seen["show", "1", "--output"].stdout == "hello\n"


RESTING = """
import sys
from cronq import Cronq
queue = Cronq.from_config()
for number in range(int(sys.argv[1])):
    queue.command("true")
    queue.close()
"""


def test_a_reader_of_a_queue_at_rest_sees_what_is_written_meanwhile(queue: Queue) -> None:
    """Also where the log comes and goes between two of its statements."""
    queue.command("true")
    queue.app.close()
    seen, times = [], scale.times(60, full=200)
    with python(queue, RESTING, times) as writer:
        while writer.poll() is None:
            seen.append(as_other(queue, "ls", "--limit", "0"))
    seen.append(as_other(queue, "ls", "--limit", "0"))
    assert [ran for ran in seen if ran.status or ran.stderr] == []
    for ran in seen:
        ids = [int(line.split("\t")[0]) for line in ran.stdout.splitlines()]
        assert ids == list(range(len(ids), 0, -1))
    assert len(ids) == 1 + times


WRITER = """
import sys
from cronq import Cronq
queue = Cronq.from_config()
queue.command("true")
print("open", flush=True)
sys.stdin.read()
"""


def test_a_reader_waits_for_a_log_whose_index_is_not_there_yet(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    index, away = queue.directory / "cronq.db-shm", queue.directory / "away"
    with python(queue, WRITER) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        index.rename(away)
        monkeypatch.setattr("time.sleep", lambda _: away.exists() and away.rename(index))
        reader = sqlite_reading.Database(str(queue.project.database))
        assert reader.query("SELECT id FROM cronq_jobs") == [(1,)]
        monkeypatch.undo()
        writer.communicate(timeout=60)


def test_advice_does_not_break_the_owners_queue(queue: Queue) -> None:
    queue.command("true")
    queue.run()
    queue.app.close()
    ran = as_other(queue, "doctor")
    assert "chown" not in ran.stdout
    assert "chmod" not in ran.stdout
    assert "sudo -u root cronq doctor" in ran.stdout
    refused = as_other(queue, "cancel", "1")
    assert refused.status == 69
    assert refused.stderr.endswith("can't be written by this user, the queue belongs to root: sudo -u root cronq …\n")


def test_a_queue_in_anothers_directory_is_not_taken_for_none(queue: Queue) -> None:
    queue.command("true")
    queue.app.close()
    queue.directory.chmod(0o700)
    queue.project.write("cronq.toml", f'database = "sqlite:///{queue.project.database}"\n')
    elsewhere = Path(tempfile.mkdtemp(prefix="cronq-owner-"))
    try:
        elsewhere.chmod(0o755)
        (elsewhere / "cronq.toml").write_text(f'database = "sqlite:///{queue.project.database}"\n')
        named = ("--config", str(elsewhere / "cronq.toml"))
        for ran in all_as_other(queue, [named, (*named, "ls"), (*named, "status"), (*named, "doctor")]):
            assert "Permission denied, its directory belongs to root: sudo -u root cronq" in ran.stdout + ran.stderr
            assert "does not exist" not in ran.stdout + ran.stderr
        below = ("--db", f"sqlite:///{queue.directory}/below/cronq.db", "update-schema")
        assert "Permission denied, its directory belongs to root" in as_other(queue, *named, *below).stderr
        (elsewhere / "closed").mkdir(mode=0o700)
        made = as_other(queue, "--config", str(elsewhere / "new.toml"), "init", "--app", "closed.jobs:queue")
        assert made.stderr == f"cronq: Permission denied: {elsewhere}/closed/jobs.py\n"
    finally:
        shutil.rmtree(elsewhere)


def test_what_only_reads_makes_no_queue(queue: Queue) -> None:
    give_away(queue)
    before = files(queue)
    verbs = [verb for verb in READING if verb[0] not in {"metrics", "health"}]
    made_by = "the first `cronq enqueue` or `cronq run` makes it"
    said = f"cronq: no queue at sqlite:///{queue.project.database} yet: {made_by}\n"
    assert all_as_other(queue, verbs) == [Ran(1, "", said)] * len(verbs)
    assert files(queue) == before


def test_root_brings_another_users_tables_up_to_date_and_leaves_nothing_of_its_own(queue: Queue) -> None:
    job = queue.command("true")
    queue.sql("DROP TABLE cronq_actions")
    queue.sql("UPDATE cronq_schema SET version_num = '0008'")
    queue.app.close()
    shutil.rmtree(queue.directory / "cronq.db.locks", ignore_errors=True)
    give_away(queue)
    config = ("--config", str(queue.directory / "cronq.toml"))
    assert queue.project.cronq(*config, "ls").status == 0
    assert {owner for path, owner in files(queue).items() if "cronq.db" in path.name or "locks" in str(path)} == {OTHER}
    assert all_as_other(queue, [("update-schema",), ("run",)])[1] == Ran(0, "", "")
    assert queue.state(job) == "finished"
