"""status, health and metrics, as people and monitors call them."""

from __future__ import annotations

import json
import socket
import stat
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.test_ls_show import on_paper
from tests.project import CONFIG, Project
from tests.terminal import on_terminal
from tests.waiting import wait_until

NO_CONFIG = {"CRONQ_CONFIG": "none.toml"}


def test_health_warns_of_a_failed_job(project: Project) -> None:
    project.enqueue("give-up")
    assert project.cronq("health").status == 0
    project.cronq("run")
    ran = project.cronq("health")
    assert (ran.status, ran.stderr) == (1, "")
    assert ran.stdout.startswith("CRONQ WARNING - 1 failed | failed=1;0;;0 ")
    assert ran.stdout.count("\n") == 1
    assert project.cronq("health", "-c", "failed=0").status == 2
    assert project.cronq("health", "--warning=failed=").status == 0
    assert project.cronq("health", "--queue", "other").status == 0


def test_health_warns_of_a_limit_that_another_host_defines_differently(project: Project) -> None:
    project.write("cronq.toml", f"{CONFIG}[limits]\nsmtp = 5\n")
    project.enqueue("add", "a=1", "b=2", "--limit", "smtp")
    assert project.cronq("health").status == 0
    project.write("cronq.toml", f"{CONFIG}[limits]\nsmtp = 10\n")
    ran = project.cronq("health")
    assert (ran.status, ran.stderr) == (1, "")
    assert "1 limit defined differently (defined differently: smtp 5 by another host)" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("health", "-x"), "there is no option -x"),
        (("health", "now"), "unexpected extra argument"),
        (("health", "-w"), "'-w' requires an argument"),
        (("health", "-w", "faild=1"), "'faild=1' is not MEASURE=RANGE"),
        (("health", "-c", "failed=x"), "'x' is not a range"),
        (("health", "-t", "0"), "--timeout"),
        (("--config", "none.toml", "health"), "none.toml"),
        (("--db", "nonsense", "health"), "--db"),
        (("--db", "sqlite:///nothing.db", "health"), "no tables of this cronq yet"),
    ],
)
def test_health_is_unknown_where_it_is_called_wrongly(project: Project, arguments: tuple[str, ...], text: str) -> None:
    ran = project.cronq(*arguments)
    assert (ran.status, ran.stderr) == (3, "")
    assert ran.stdout.startswith("CRONQ UNKNOWN - ")
    assert ran.stdout.count("\n") == 1
    assert text in ran.stdout


def test_health_is_critical_without_a_database(project: Project) -> None:
    project.database.write_bytes(b"this is no database\n" * 100)
    ran = project.cronq("health")
    assert (ran.status, ran.stdout.partition(" - ")[0]) == (2, "CRONQ CRITICAL")


def test_health_is_critical_when_the_server_says_nothing(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mysql://cronq:s3cr3t@127.0.0.1:{silent.getsockname()[1]}/jobs"
        started = time.monotonic()
        ran = project.cronq("--db", url, "health", "-t", "0.5")
    assert ran == (2, "CRONQ CRITICAL - no answer from the database within 0.5s\n", "")
    assert time.monotonic() - started < 40


def test_health_is_unknown_where_it_cannot_be_read(project: Project) -> None:
    project.enqueue("say", "text=x")
    with project.start("health") as process:
        assert process.stdout
        process.stdout.close()
        wait_until(lambda: process.poll() is not None, seconds=60)
    assert process.returncode in (0, 3)  # it may have written before


def test_health_says_of_its_own_errors_that_it_does_not_know(project: Project) -> None:
    ran = project.cronq("health", env={"PYTHONPATH": str(project.write("sitecustomize.py", BROKEN).parent)})
    assert ran.status == 3
    assert ran.stdout == "CRONQ UNKNOWN - internal error: RuntimeError: out of order\n"


BROKEN = """\
import cronq.storage.stats
def take(config):
    raise RuntimeError("out of order")
cronq.storage.stats.take = take
"""


def test_metrics_are_what_prometheus_reads(project: Project) -> None:
    assert project.cronq("metrics").status == 69
    project.enqueue("say", "text=x", "--queue", "mail")
    project.cronq("run")
    text = project.done("metrics")
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text + "\n")
        for sample in family.samples
    }
    assert values["cronq_jobs", "mail", "finished"] == 1
    assert values["cronq_recent_jobs", "mail", "finished"] == 1
    assert values["cronq_last_run_timestamp_seconds",] == pytest.approx(time.time(), abs=60)


def test_a_textfile_is_replaced_at_once(project: Project) -> None:
    project.enqueue("say", "text=x")
    file = project.write("out/cronq.prom", "old")
    file.chmod(0o600)
    old = file.stat().st_ino
    assert project.done("metrics", "--textfile", "out/cronq.prom") == ""
    assert "cronq_jobs{" in file.read_text()
    assert file.read_text().endswith("\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert file.stat().st_ino != old
    assert list(file.parent.iterdir()) == [file]


def test_a_textfile_that_can_not_be_written(project: Project) -> None:
    project.enqueue("say", "text=x")
    ran = project.cronq("metrics", "--textfile", "none/cronq.prom")
    assert (ran.status, ran.stdout) == (74, "")
    assert ran.stderr.startswith("cronq: No such file or directory: none/")
    (project.directory / "there").mkdir()
    assert project.cronq("metrics", "--textfile", "there").status == 74
    assert not list(Path(project.directory).glob(".there*"))


def test_status_counts(project: Project) -> None:
    project.make_database()
    empty = json.loads(project.done("status", "--json"))
    assert (empty["queues"], empty["oldest_ready_at"], empty["last_run_at"], empty["paused"]) == ({}, None, None, [])
    job = project.enqueue("--queue", "q", "--", "true")
    status = json.loads(project.done("status", "--json"))
    assert status["queues"] == {"q": {"ready": 1}}
    assert status["oldest_ready_at"] == project.show(job)["available_at"]
    project.done("run")
    assert project.done("status").startswith("q\tfinished\t1\noldest ready job: none\nlast run: ")


def test_ls_and_enqueue_name_the_database(project: Project) -> None:
    named = f"cronq: the database is sqlite:///{project.database}\n"
    assert project.cronq("-v", "enqueue", "say", "text=x") == (0, "1\n", named)
    assert project.cronq("-v", "ls").stderr == named
    assert project.cronq("ls").stderr == ""
    assert json.loads(project.done("status", "--json"))["database"] == f"sqlite:///{project.database}"


def test_status_knows_the_run_at_work(project: Project) -> None:
    project.enqueue("--", "while [ ! -e go ]; do sleep 0.05; done")
    with project.start("run"):
        wait_until(lambda: project.state(1) == "running", what="the job runs")
        status = json.loads(project.done("status", "--json"))
        assert status["run_active"]
        assert [worker["kind"] for worker in status["workers"]] == ["run"]
        lines = project.done("status").splitlines()
        assert lines[-3] == "workers: 1"
        assert lines[-2].startswith("  run on ")
        assert lines[-1] == f"database: sqlite:///{project.database}"
        assert project.cronq("health", "-w", "last-run=0", "-w", "workers=1:").status == 0
        (project.directory / "go").touch()
    assert not json.loads(project.done("status", "--json"))["run_active"]


def test_status_on_a_terminal_fits_it(project: Project) -> None:
    for queue in ("a", "b" * 60):
        project.enqueue("--queue", queue, "--", "true")
        project.enqueue("--queue", queue, "--at", "+1h", "--", "true")
    for columns in (60, 80, 200):
        printed = on_paper(on_terminal(project, "status", columns=columns)).replace("\r", "")
        table = printed.partition("oldest ready job")[0]
        assert max(map(len, table.splitlines())) <= columns
        assert "ready" in table
        assert ("scheduled" in table) == (columns > 100)
