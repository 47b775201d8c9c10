"""packaging/systemd: a real systemd as process 1 takes the files as they are."""

from __future__ import annotations

import json
import re
import shlex
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cronq.execution.stopping import SHUTDOWN_GRACE
from tests.packaging.booted import Booted
from tests.packaging.test_cron import entry
from tests.project import ROOT
from tests.scale import MINUTES
from tests.waiting import wait_until

pytestmark = pytest.mark.needs("systemd-boot")

UNITS = sorted((ROOT / "packaging" / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
RUNNERS = [unit for unit in SERVICES if unit.name != "cronq-web.service"]
EVERY_SECOND = "[Timer]\nOnCalendar=*:*:*\n"
WITHOUT_LIMIT = "[Unit]\nStartLimitIntervalSec=0\n"
QUICK_TO_GIVE_UP = "[Unit]\nStartLimitBurst=2\n[Service]\nRestartSec=10ms\n"
NOT_NOW = "[Timer]\nOnCalendar=\nOnCalendar=2099-01-01\n"


def instance(unit: Path) -> str:
    """The name of a unit that could run: a template gets an instance."""
    return unit.name.replace("@.", "@one.")


def test_units_are_as_systemd_wants_them_and_leave_little_exposed(unchanged: Booted) -> None:
    paths = [f"/etc/systemd/system/{unit.name}" for unit in UNITS]
    assert unchanged.run("systemd-analyze", "verify", *paths) == (0, "", "")
    for service in SERVICES:
        told = unchanged.done("systemd-analyze", "security", "--no-pager", "--threshold=25", instance(service))
        exposure = re.search(r"Overall exposure level for \S+ (\S+) ", told)
        assert exposure, told
        assert float(exposure[1]) <= 2.5, told


def test_account_and_directories_are_those_of_the_package(machine: Booted) -> None:
    assert machine.done("getent", "passwd", "cronq").endswith(":cronq job runner:/var/lib/cronq:/usr/sbin/nologin")
    places = ["/etc/cronq", "/var/lib/cronq", "/var/log/cronq"]
    assert machine.done("stat", "-c", "%U:%G %a", *places).splitlines() == [
        "root:cronq 750",
        "cronq:cronq 750",
        "cronq:adm 750",
    ]


def test_timer_starts_a_run_that_may_write_to_its_home_and_nowhere_else(machine: Booted) -> None:
    machine.write("/etc/systemd/system/cronq-run.timer.d/often.conf", EVERY_SECOND)
    machine.write("/etc/systemd/system/cronq-run.service.d/often.conf", WITHOUT_LIMIT)
    home = machine.cronq("enqueue", "--", "id -un && touch ~/here")
    etc = machine.cronq("enqueue", "--max-attempts", 1, "--", "touch /etc/cronq/there /usr/there /root/there")
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "cronq-run.timer")
    wait_until(lambda: machine.state(etc) == "failed", seconds=60, what="the timer's run", pause=0.5)
    assert machine.state(home) == "finished"
    assert "cronq" in machine.cronq("show", home).splitlines()[-1]
    assert machine.path("/var/lib/cronq/here").exists()
    assert "Read-only file system" in machine.cronq("show", etc)
    assert f"job {etc} (command: " in machine.journal("--unit=cronq-run.service")
    assert machine.property("cronq-run.service", "Result") == "success"


def test_timer_that_is_shipped_elapses_each_minute_on_the_second(unchanged: Booted) -> None:
    unchanged.systemctl("start", "cronq-run.timer")
    assert "OnCalendar=*-*-* *:*:00" in unchanged.property("cronq-run.timer", "TimersCalendar")
    assert unchanged.property("cronq-run.timer", "AccuracyUSec") == "1s"


ONCE_A_SECOND = """\
[schedules.tick]
every = "1s"
command = "true"
overlap = "allow"
catch_up = "none"
catch_up_window = "2s"
"""


@pytest.mark.slow
@pytest.mark.waits
def test_due_times_of_a_sleep_are_missed_and_none_is_decided_twice(machine: Booted) -> None:
    machine.write("/etc/cronq/cronq.toml", ONCE_A_SECOND)
    machine.write("/etc/systemd/system/cronq-run.timer.d/often.conf", EVERY_SECOND)
    machine.write("/etc/systemd/system/cronq-run.service.d/often.conf", WITHOUT_LIMIT)
    machine.systemctl("daemon-reload")

    def decided() -> list[dict[str, Any]]:
        rows = json.loads(machine.cronq("schedules", "show", "tick", "--json"))["decisions"][::-1]
        return [row for row in rows if row["due_at"] >= began]

    began = ""
    machine.cronq("schedules", "sync")
    machine.systemctl("start", "cronq-run.timer")
    wait_until(lambda: len(decided()) > 1, seconds=60, what="due times before the sleep", pause=0.5)
    began = decided()[-1]["due_at"]
    with machine.asleep():
        woken = time.monotonic() + 5
        wait_until(lambda: time.monotonic() > woken, seconds=20)

    def is_over() -> bool:
        outcomes = [row["outcome"] for row in decided()]
        return "missed" in outcomes and outcomes[-1] == "enqueued"

    wait_until(is_over, seconds=60, what="a due time after the sleep", pause=0.5)
    machine.systemctl("stop", "cronq-run.timer", "cronq-run.service")
    assert "missed" in {row["outcome"] for row in decided()}
    every = [at(row["since"]) + timedelta(seconds=n) for row in decided() for n in range(row["count"])]
    assert every == [every[0] + timedelta(seconds=n) for n in range(len(every))]


KILLS = """\
[schedules.tock]
cron = "* * * * *"
command = "[ -e killed ] || { touch killed; kill -9 $(cut -d' ' -f4 /proc/$PPID/stat); }"
overlap = "allow"
"""
"""The first job kills the run that started it."""


@pytest.mark.slow
@pytest.mark.waits
@pytest.mark.timeout(240 + 70 * MINUTES)
@pytest.mark.skipif(not MINUTES, reason="takes minutes: only with STORM_MINUTES")
def test_timer_drives_a_schedule_of_every_minute_over_a_killed_run(machine: Booted) -> None:
    machine.write("/etc/cronq/cronq.toml", KILLS)
    for kind in ("timer", "service"):
        machine.path(f"/etc/systemd/system/cronq-run.{kind}.d/often.conf").unlink(missing_ok=True)
    machine.systemctl("daemon-reload")
    machine.cronq("schedules", "sync")

    def jobs() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(machine.cronq("ls", "--state", "finished", "--json"))
        return [job for job in found if job["schedule"] == "tock"]

    machine.systemctl("start", "cronq-run.timer")
    wait_until(lambda: len(jobs()) >= MINUTES, seconds=130 + 60 * MINUTES, what=f"{MINUTES} due times")
    machine.systemctl("stop", "cronq-run.timer", "cronq-run.service")
    decided = json.loads(machine.cronq("schedules", "show", "tock", "--json"))["decisions"][::-1]
    instants = [at(row["due_at"]) for row in decided]
    assert {row["outcome"] for row in decided} == {"enqueued"}
    assert instants == [instants[0] + timedelta(minutes=n) for n in range(len(instants))]
    assert machine.path("/var/lib/cronq/killed").exists()
    assert "Main process exited, code=killed" in machine.journal("--unit=cronq-run.service")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_line_of_cron_stands_back_only_while_the_timer_is_active(machine: Booted) -> None:
    def cron() -> None:
        line = f"cd ~ && {entry()['command']}"
        ran = machine.run("env", "-i", "HOME=/var/lib/cronq", "PATH=/usr/bin:/bin", "sh", "-c", line, user="cronq")
        assert ran == (0, "", "")

    job = machine.cronq("enqueue", "--", "true")
    machine.write("/etc/systemd/system/cronq-run.timer.d/later.conf", NOT_NOW)
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "cronq-run.timer")
    cron()
    assert machine.state(job) == "ready"
    machine.systemctl("stop", "cronq-run.timer")
    cron()
    assert machine.state(job) == "finished"


def test_sockets_take_the_port_from_each_other(unchanged: Booted) -> None:
    for socket, other in (("cronq", "cronq-listen"), ("cronq-listen", "cronq"), ("cronq", "cronq-listen")):
        unchanged.systemctl("start", f"{socket}.socket")
        assert unchanged.property(f"{socket}.socket", "ActiveState") == "active"
        assert unchanged.property(f"{other}.socket", "ActiveState") == "inactive"


def ask(machine: Booted, job: str) -> bytes:
    """What the port answers to the id of a job."""
    with machine.connect() as client:
        client.sendall(f"{job}\n".encode())
        return client.makefile("rb").read()


@pytest.mark.parametrize("socket", ["cronq", "cronq-listen"])
def test_socket_starts_the_job_that_is_asked_for_as_the_packages_user(socket: str, unchanged: Booted) -> None:
    unchanged.systemctl("start", f"{socket}.socket")
    job = unchanged.cronq("enqueue", "--", "id -un; echo $HOME")
    assert ask(unchanged, job) == f"OK {job}\n".encode()
    wait_until(lambda: unchanged.state(job) == "finished", seconds=60, what="the job", pause=0.3)
    assert unchanged.cronq("show", job).splitlines()[-2:] == ["  cronq", "  /var/lib/cronq"]
    assert ask(unchanged, job) == f"ERR {job} finished\n".encode()
    assert f"OK {job}" in unchanged.journal(f"--unit={socket}@*", f"--unit={socket}.service")


def test_idle_listener_ends_at_once_when_it_is_stopped(unchanged: Booted) -> None:
    unchanged.systemctl("start", "cronq-listen.socket")
    assert ask(unchanged, "99") == b"ERR 99 unknown\n"
    started = time.monotonic()
    unchanged.systemctl("stop", "cronq-listen.socket", "cronq-listen.service")
    assert time.monotonic() - started < 40
    assert unchanged.property("cronq-listen.service", "Result") == "success"


def test_port_stays_open_while_the_configuration_is_wrong(machine: Booted) -> None:
    machine.write("/etc/cronq/cronq.toml", "jbos = 2\n")
    machine.write("/etc/systemd/system/cronq-listen.service.d/quick.conf", QUICK_TO_GIVE_UP)
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "cronq-listen.socket")
    with machine.connect():
        more_than_systemd_lets_pass = 3
        wait_until(
            lambda: int(machine.property("cronq-listen.service", "NRestarts")) > more_than_systemd_lets_pass,
            seconds=60,
            what="many starts",
            pause=0.1,
        )
    assert machine.property("cronq-listen.socket", "ActiveState") == "active"


def test_services_give_jobs_the_time_to_end_that_runners_give_them() -> None:
    for service in RUNNERS:
        [seconds] = re.findall(r"^TimeoutStopSec=(\d+)$", service.read_text(), re.MULTILINE)
        assert int(seconds) > SHUTDOWN_GRACE + 10, service.name


def test_commands_in_units_are_the_installed_one() -> None:
    for service in SERVICES:
        [command] = re.findall(r"^ExecStart=-?(.*)$", service.read_text(), re.MULTILINE)
        assert shlex.split(command)[0] == "/usr/bin/cronq"
