"""Journals that can't be written or read: what had ended is known, and no run ends of it."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq import Cronq
from cronq.model.selection import Selection
from tests.contract.conftest import engine_queue
from tests.integration.running import HEADER, Queue, wait_until_dead
from tests.integration.storm import children_of
from tests.project import Project
from tests.scale import engines, times

LOUD = """
@queue.task
def loud():
    mark(current_job.id)
    print("x" * 120_000)
"""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A directory with room for 5 MiB, as /run/lock often is."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=5m,mode=0700", "none", place], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip("only root can mount a small file system")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.parametrize("engine", engines("mysql"))
def test_output_that_fills_the_locks_directory_runs_nothing_twice(
    engine: str, tmp_path: Path, small: Path, project: Project
) -> None:
    jobs = 400 if engine == "sqlite" else times(80, full=400)
    config = engine_queue(engine, tmp_path)
    text = f'database = "{config.database}"\nlock_dir = "{small}"\napp = "jobs:queue"\nnotify_after = 1\n'
    project.write("cronq.toml", text)
    project.write("jobs.py", HEADER + LOUD)
    with Cronq(config) as queue:
        queue.enqueue_many([{"task": "jobs.loud"}] * jobs, check=False)
        ran = project.cronq("run", "--jobs", "8", seconds=120)
        assert (ran.status, ran.stderr) == (0, "")
        assert {(job.state, job.attempt) for job in queue.store.jobs.find(Selection())} == {("finished", 1)}
    recorded = Counter((project.directory / "record").read_text().split())
    assert (len(recorded), set(recorded.values())) == (jobs, {1})
    assert not list(small.glob("*.journal"))


def test_no_room_for_any_journal_ends_the_run_before_a_job_starts(queue: Queue, small: Path) -> None:
    queue.tasks("", f'lock_dir = "{small}"\n')
    job = queue.put("record", {"word": "ran"})
    queue.run_silently("--queue", "none")
    (small / "full").write_bytes(bytes(room(small)))
    ran = queue.run(status=69)
    assert f"{small}/" in ran.stderr
    assert "No space left on device" in ran.stderr
    assert (queue.state(job), queue.recorded()) == ("ready", [])
    (small / "full").unlink()
    queue.run_silently()
    assert queue.state(job) == "finished"


def room(place: Path) -> int:
    disk = os.statvfs(place)
    return disk.f_bavail * disk.f_frsize


LIMITED = """
@queue.task
def limited():
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))
    mark("ran")
    return "kept"
"""


def test_a_task_that_limits_the_size_of_files_succeeds(queue: Queue) -> None:
    queue.tasks(LIMITED)
    job, after = queue.put("limited"), queue.put("record", {"word": "after"})
    queue.run_silently("--jobs", 1)
    assert (queue.state(job), queue.row(job)["result"], queue.state(after)) == ("finished", '"kept"', "finished")
    assert queue.recorded() == ["ran", "after"]


@pytest.mark.parametrize("size", [0, 32, 64])
def test_a_journal_that_is_truncated_under_a_job_costs_nothing(queue: Queue, size: int) -> None:
    queue.tasks(
        "@queue.task\ndef slow():\n    mark('begun')\n    pause_until((HERE / 'go').exists)\n    return 'kept'\n"
    )
    job = queue.put("slow")
    others = [queue.put("record", {"word": number}) for number in range(3)]
    runner = queue.start("--jobs", 1)
    queue.wait_for_record("begun")
    for path in (queue.directory / "cronq.db.locks").glob("*.journal"):
        os.truncate(path, size)
    (queue.directory / "go").touch()
    assert runner.wait(timeout=60) == 0
    assert (queue.state(job), queue.row(job)["result"]) == ("finished", '"kept"')
    assert [queue.row(other)["attempt"] for other in others] == [1, 1, 1]
    assert queue.recorded() == ["begun", "0", "1", "2"]


REUSES = """
@queue.task
def reuses():
    os.closerange(3, 90)
    files = [open(HERE / f"own{number}", "w") for number in range(30)]
    for file in files:
        file.write("mine")
        file.flush()
    queue.keep = files


@queue.task
def prints():
    print("printed")
    os.chdir("/")
"""


def test_a_task_that_closes_and_reuses_descriptors_keeps_its_files(queue: Queue) -> None:
    queue.tasks(REUSES)
    first, second, third = queue.put("reuses"), queue.put("prints"), queue.put("record", {"word": "after"})
    queue.run_silently("--jobs", 1)
    assert {path.read_text() for path in queue.directory.glob("own*")} == {"mine"}
    assert {queue.state(job) for job in (first, second, third)} == {"finished"}
    assert queue.row(second)["stdout"] == "printed\n"


@pytest.mark.parametrize("kind", ["fifo", "directory", "symlink", "huge"])
def test_a_thing_in_place_of_a_journal_stops_no_run(queue: Queue, kind: str) -> None:
    queue.tasks(
        "@queue.task\ndef slow():\n    mark('begun')\n    if current_job.attempt == 1:\n        time.sleep(100)\n",
        'log = "log"\n',
    )
    job = queue.put("slow")
    runner = queue.start("--jobs", 1)
    queue.wait_for_record("begun")
    [child] = children_of(runner.pid)
    runner.kill()
    runner.communicate()
    wait_until_dead(child)
    [path] = (queue.directory / "cronq.db.locks").glob("*.journal")
    replace(path, kind)
    queue.run_silently()
    assert (queue.state(job), queue.row(job)["attempt"]) == ("running", 1)
    queue.sql("UPDATE cronq_jobs SET lease_until = 2 WHERE id = ?", job)
    queue.run()
    assert (queue.state(job), queue.row(job)["attempt"]) == ("finished", 2)
    assert (queue.directory / "log").read_text().count("can't be read as a journal") == 1
    assert not list(path.parent.glob("*.journal"))


def replace(path: Path, kind: str) -> None:
    path.unlink()
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "symlink":
            path.symlink_to("/etc/passwd")
        case "huge":
            path.touch()
            os.truncate(path, 32 << 30)
