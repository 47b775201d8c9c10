"""The faults that wake an operator at night, provoked for real: `why` or `doctor` names the cause and the repair."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from cronq.config import loader
from cronq.monitoring.doctor.checks import examine_installation
from cronq.monitoring.doctor.context import Installation, Places
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


def test_children_that_die_before_they_begin_a_job(queue: Queue) -> None:
    job = queue.put("nothing")
    whole = (queue.directory / "jobs.py").read_text()
    queue.project.write("jobs.py", f"{whole}\nos.register_at_fork(after_in_child=lambda: os._exit(3))\n")
    assert queue.project.cronq("run").status == 1
    error = "executors in a row died before they began a job"
    assert error in queue.project.done("status")
    assert error in queue.project.cronq("health").stdout
    assert error in queue.project.cronq("-q", "doctor").stdout
    queue.project.write("jobs.py", whole)
    queue.run_silently()
    assert queue.state(job) == "finished"
    assert json.loads(queue.project.done("status", "--json"))["failing_runs"] == []


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
    told = "running before it: job 1 (command, since "
    said = wait_until(lambda: said if told in (said := why(queue, waits)) else "", what="the third waits")
    assert f"`cronq cancel --kill {hung[0]} {hung[1]}` ends them" in said
    queue.project.done("cancel", "--kill", *hung)
    run.communicate(timeout=60)
    assert queue.state(waits) == "finished"


def head(queue: Queue) -> list[str]:
    """The first three lines of `cronq doctor`: the verdict, the worst finding, what to do."""
    lines = queue.project.cronq("doctor").stdout.splitlines()
    assert lines[2].startswith("        do: "), lines[:4]
    return lines[:3]


def test_cron_has_stopped(queue: Queue) -> None:
    queue.put("nothing")
    queue.run_silently()
    job = queue.put("nothing")
    [lock] = queue.directory.glob("cronq.db.locks/run-*.lock")
    pid, started = lock.read_text().split("\n")[0].split()
    lock.write_text(f"{pid} {int(started) - 3_600_000_000}\n")
    assert "no runner has looked since" in why(queue, job)
    assert "`cronq run` does it now" in why(queue, job)
    verdict, worst, do = head(queue)
    assert verdict.startswith("1 problem")
    assert re.match(r"PROBLEM cron: the last run began 6\dm ago: cron doesn't call any more", worst)
    assert "see that cron runs" in do


def test_a_queue_that_is_paused(queue: Queue) -> None:
    job = queue.put("nothing")
    queue.project.done("pause", "default")
    queue.run_silently()
    said = why(queue, job)
    assert 'queue "default" is paused by ' in said
    assert said.endswith("`cronq resume default`.")


def test_a_worker_that_a_signal_has_stopped(queue: Queue) -> None:
    worker = queue.work("--jobs", 1)
    queue.stop(worker.pid)
    try:
        job = queue.put("nothing")
        assert f"stopped by a signal: `kill -CONT {worker.pid}` lets it go on" in why(queue, job)
        assert "stopped" in queue.project.done("workers").split("\t")
        found = queue.project.cronq("doctor").stdout
        assert f"do: `kill -CONT {worker.pid}` lets it go on" in found
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    wait_until(lambda: queue.state(job) == "finished", what="the job")


def test_a_worker_that_was_told_to_pause(queue: Queue) -> None:
    worker = queue.work("--jobs", 1)
    worker.send_signal(signal.SIGUSR2)
    wait_until(lambda: queue.sql("SELECT state FROM cronq_workers") == [("paused",)], what="the worker rests")
    job = queue.put("nothing")
    assert f"paused: `kill -CONT {worker.pid}` resumes it" in why(queue, job)


def test_a_stopped_worker_beside_one_that_is_at_work(queue: Queue) -> None:
    stopped = queue.work("--jobs", 1)
    queue.stop(stopped.pid)
    try:
        queue.sql("UPDATE cronq_workers SET seen_at = 0")  # as after the length of a lease
        queue.tasks("@queue.task\ndef long():\n    pause_until((HERE / 'go').exists)\n")
        queue.work("--jobs", 1)
        first, job = queue.put("long"), queue.put("nothing")
        wait_until(lambda: queue.state(first) == "running", what="the first job runs")
        busy = f'it waits its turn in queue "default" with priority 50; running before it: job {first} '
        wait_until(lambda: busy in why(queue, job), what="the second job isn't claimed in advance any more")
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
        (queue.directory / "go").touch()


def test_paused_workers_here_and_elsewhere(queue: Queue) -> None:
    worker = queue.work("--jobs", 1)
    worker.send_signal(signal.SIGUSR2)
    wait_until(lambda: queue.sql("SELECT state FROM cronq_workers") == [("paused",)], what="the worker rests")
    columns = ", ".join(row[1] for row in queue.sql("PRAGMA table_info(cronq_workers)"))
    others = columns.replace("name", "'other'", 1).replace("host", "'elsewhere'")
    queue.sql(f"INSERT INTO cronq_workers ({columns}) SELECT {others} FROM cronq_workers")
    said = why(queue, queue.put("nothing"))
    assert f'all 2 workers of queue "default" are paused: `kill -CONT {worker.pid}` resumes 1 of them' in said


def test_a_worker_that_serves_another_queue_only(queue: Queue) -> None:
    queue.work("--jobs", 1, "--queue", "mail")
    job = queue.put("nothing")
    said = why(queue, job)
    assert 'no worker listens to queue "default": the only worker is there for others' in said
    assert "`cronq work --queue default` starts one" in said
    verdict, worst, do = head(queue)
    assert "1 problem" in verdict
    assert "jobs are due in queues, which no worker takes: default" in worst
    assert "run" in do


def test_a_database_that_another_process_holds_locked(queue: Queue) -> None:
    queue.put("nothing")
    queue.run_silently()
    with contextlib.closing(sqlite3.connect(queue.project.database, timeout=60, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        verdict, worst, do = head(queue)
        assert worst.startswith("PROBLEM database: ")
        assert "another process has kept the database locked" in worst
        assert f"`fuser -v {queue.project.database}`" in do
        assert "chown" not in worst + do
    assert "1 problem" in verdict


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_disk_that_is_full(queue: Queue, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "none", small], check=True)
    try:
        queue.tasks("", config=f'database = "sqlite:///{small}/cronq.db"\n')
        queue.project.write("cronq.toml", f'database = "sqlite:///{small}/cronq.db"\napp = "jobs:queue"\n')
        queue.project.done("update-schema")
        with contextlib.suppress(OSError), (small / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        ran = queue.project.cronq("enqueue", "jobs.record", f"word={'x' * 100_000}", "--no-check")
        assert ran.status == 69
        assert "the disk is full: nothing was written" in ran.stderr
        assert "chown" not in ran.stderr
        _, worst, do = head(queue)
        assert "the disk is full" in worst
        assert f"make room (`df -h {small}`)" in do
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)


def test_another_user_calls_it(queue: Queue) -> None:
    if os.geteuid():
        pytest.skip("only root can give files away")
    job = queue.put("nothing")
    queue.app.close()
    for path in (queue.directory, *queue.directory.rglob("*")):
        os.chown(path, 65534, 65534)
    ran = queue.project.cronq("--config", str(queue.directory / "cronq.toml"), "run")
    assert ran.status == 78
    assert "runuser -u nobody -- cronq run" in ran.stderr
    assert queue.project.cronq("--config", str(queue.directory / "cronq.toml"), "why", job).status == 0


def test_a_group_that_a_failed_job_holds(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef fails():\n    raise Fail('no')\n", 'group_on_failed = "hold"\n')
    holder, waits = queue.put("fails", group="g"), queue.put("nothing", group="g")
    queue.run()
    said = why(queue, waits)
    assert f'group "g" is held by job {holder}, which failed and keeps the group' in said
    assert f"`cronq retry {holder}` or `cronq cancel {holder}`" in said


def test_a_task_that_a_worker_with_old_code_does_not_know(queue: Queue) -> None:
    worker = queue.work("--jobs", 1)
    queue.project.write(
        "jobs.py", (queue.directory / "jobs.py").read_text() + "\n@queue.task\ndef fresh():\n    pass\n"
    )
    job = queue.put("fresh")
    wait_until(lambda: queue.state(job) == "waiting", what="the job waits")
    said = why(queue, job)
    assert f"-{worker.pid}-" in said
    assert "runs older code, which doesn't know task" in said
    assert "`cronq reload-workers`" in said


def test_a_terminal_that_closes(queue: Queue) -> None:
    job = queue.command("sleep 600", max_attempts=1)
    run = queue.start("--jobs", 1)
    wait_until(lambda: queue.state(job) == "running", what="the job")

    def is_over() -> bool:
        """Two signals end the job at once; two that come together may arrive as one."""
        run.send_signal(signal.SIGHUP)
        return run.poll() is not None

    wait_until(is_over, seconds=60, what="the run has ended")
    run.communicate()
    assert queue.state(job) == "ready"
    said = why(queue, job)
    assert "Job 1 is due since" in said
    assert "failed" not in said


def test_a_user_of_the_crontab_that_does_not_exist(queue: Queue, tmp_path: Path) -> None:
    files = tmp_path / "cron.d"
    files.mkdir()
    (files / "cronq").write_text("* * * * * no-such-user cronq run\n")
    config = loader.load(file=str(queue.directory / "cronq.toml"), environ={})
    installation = Installation(config, Places(cron_files=files))
    try:
        found = [one.finding for one in examine_installation(installation)]
    finally:
        installation.close()
    [told] = [one for one in found if one.text.startswith(f"{files}/cronq: there is no user")]
    assert told.text == f"{files}/cronq: there is no user no-such-user: cron ignores all of the file"
    assert told.advice.startswith("make the user")


def test_a_command_that_the_configuration_does_not_allow(queue: Queue) -> None:
    job = queue.command("true", max_attempts=1)
    queue.tasks("", "commands = false\n")
    ran = queue.run()
    assert ran.stderr.count("\n") == 1
    assert "jobs wait until it is allowed" in ran.stderr
    assert (queue.state(job), queue.row(job)["attempt"]) == ("waiting", 0)
    assert "`commands = true` in the config allows them" in why(queue, job)
    _, worst, do = head(queue)
    assert worst.startswith("PROBLEM jobs: 1 shell commands are queued, but jobs may not be shell commands")
    assert "allow them, or `cronq cancel --task command`" in do
    queue.tasks("", "commands = true\n")
    queue.make_due(job)
    queue.run_silently()
    assert queue.state(job) == "finished"
