"""A backup that is put in place of the database under a worker: what runs in it, and not in the worker, is freed."""

from __future__ import annotations

import signal
import sqlite3
from pathlib import Path

from tests.integration.running import Queue
from tests.waiting import wait_until

WAITS = """
@queue.task(max_attempts=3)
def waits(name):
    mark("begun", name)
    pause_until(lambda: (HERE / "go").exists())
    mark("ended", name)
"""


def test_a_job_that_runs_in_a_backup_only_is_rescued(queue: Queue) -> None:
    queue.tasks(WAITS, 'lease = "3s"\n')
    job = queue.put("waits", {"name": "old"})
    behind = queue.put("waits", {"name": "first"}, group="g"), queue.put("waits", {"name": "second"}, group="g")
    worker = queue.work("--jobs", 3)
    queue.wait_for_record("begun old")
    queue.wait_for_record("begun first")
    database = Path(queue.project.database)
    backup = database.with_name("backup.db")
    with sqlite3.connect(database) as before, sqlite3.connect(backup) as copy:
        before.backup(copy)
    before.close()
    copy.close()
    (queue.directory / "go").touch()
    wait_until(lambda: queue.state(job) == queue.state(behind[1]) == "finished", what="the jobs are done")
    queue.stop(worker.pid)  # it might open the old file between the two
    for end in ("-wal", "-shm"):
        database.with_name(f"{database.name}{end}").unlink(missing_ok=True)
    backup.rename(database)
    worker.send_signal(signal.SIGCONT)
    wait_until(lambda: all(queue.state(one) == "finished" for one in (job, *behind)), what="they are done again")
    assert worker.poll() is None
    assert queue.attempt(job)["error_message"] == "job process lost: its runner knows nothing of this attempt"
    assert sorted(queue.recorded()).count("ended second") == 2
    assert queue.settled()


def test_a_job_in_hand_is_not_taken_for_one(queue: Queue) -> None:
    queue.tasks(WAITS, 'lease = "1s"\n')
    job = queue.put("waits", {"name": "long"})
    queue.work("--jobs", 1)
    queue.wait_for_record("begun")
    before = queue.row(job)["lease_until"]
    wait_until(lambda: queue.row(job)["lease_until"] > before + 2_000_000, what="some renewals")
    (queue.directory / "go").touch()
    wait_until(lambda: queue.state(job) == "finished", what="its end")
    assert queue.recorded() == ["begun long", "ended long"]
