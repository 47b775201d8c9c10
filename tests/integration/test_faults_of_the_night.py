"""The faults that wake an operator at night, provoked for real: `why` or `doctor` names the cause and the repair."""

from __future__ import annotations

import json

from tests.integration.running import Queue
from tests.waiting import wait_until


def why(queue: Queue, job: int) -> str:
    """What `cronq why` says of the job."""
    return queue.project.done("why", job)


def test_an_app_that_cannot_be_imported(queue: Queue) -> None:
    job = queue.put("nothing")
    whole = (queue.directory / "jobs.py").read_text()
    queue.project.write("jobs.py", "import no_such_module\n")
    assert queue.project.cronq("run").status == 78
    error = "No module named 'no_such_module'"
    said = why(queue, job)
    assert "the last `cronq run` on" in said
    assert "with status 78" in said
    assert error in said
    assert "status 78: app = " in queue.project.done("status")
    assert json.loads(queue.project.done("status", "--json"))["failing_runs"][0]["status"] == 78
    health = queue.project.cronq("health")
    assert health.status == 2
    assert "CRITICAL - 1 failing run" in health.stdout
    assert error in health.stdout
    doctor = queue.project.cronq("-q", "doctor")
    assert doctor.status == 1
    assert "the last `cronq run` on" in doctor.stdout
    assert "cronq_failing_run_status" in queue.project.done("metrics")
    queue.project.write("jobs.py", whole)
    queue.run_silently()
    assert queue.state(job) == "finished"
    assert json.loads(queue.project.done("status", "--json"))["failing_runs"] == []
    assert queue.project.cronq("health").status == 0


def test_a_run_that_does_well_with_nothing_to_do_ends_the_alarm_everywhere(queue: Queue) -> None:
    job = queue.put("nothing")
    whole = (queue.directory / "jobs.py").read_text()
    queue.project.write("jobs.py", "import no_such_module\n")
    assert queue.project.cronq("run").status == 78
    assert queue.sql("SELECT status FROM cronq_runs") == [(78,)]
    queue.project.write("jobs.py", whole)
    queue.project.done("cancel", job)
    queue.run_silently()
    assert queue.sql("SELECT status, error FROM cronq_runs") == [(0, None)]


def test_children_that_are_busy_with_jobs_that_hang(queue: Queue) -> None:
    hung = [queue.command("sleep 600"), queue.command("sleep 600")]
    run = queue.start("--jobs", 2)
    wait_until(lambda: [queue.state(job) for job in hung] == ["running"] * 2, what="two jobs that hang")
    waits = queue.command("true")
    said = why(queue, waits)
    assert "running before it: job 1 (command, since " in said
    assert f"`cronq cancel --kill {hung[0]} {hung[1]}` ends them" in said
    queue.project.done("cancel", "--kill", *hung)
    run.communicate(timeout=30)
    assert queue.state(waits) == "finished"
