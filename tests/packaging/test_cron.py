"""packaging/cron.d/cronq: cron takes the file as it is, and its line does the work without a sound."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.packaging.crond import Cron
from tests.project import COMMAND, ROOT, Project
from tests.scale import MINUTES
from tests.waiting import wait_until

CRONTAB = ROOT / "packaging" / "cron.d" / "cronq"
ENTRY = re.compile(r"(\S+ ){5}(?P<user>\S+) (?P<command>.+)")


def entry() -> re.Match[str]:
    """The one line of the file that is a job."""
    candidates = [line for line in CRONTAB.read_text().splitlines() if line and line[0] in "0123456789*@"]
    [line] = candidates
    found = ENTRY.fullmatch(line)
    assert found, line
    return found


def test_name_and_mode_are_taken_by_every_cron() -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", CRONTAB.name)
    assert CRONTAB.stat().st_mode & 0o7533 == 0o400


def test_text_has_nothing_that_cron_refuses_or_rewrites() -> None:
    text = CRONTAB.read_bytes()
    assert text.endswith(b"\n")
    assert b"\r" not in text
    assert b"%" not in entry()["command"].encode()
    assert len(entry()["command"]) < 998


def test_line_has_a_user_and_an_absolute_command() -> None:
    assert entry()["user"] == "cronq"
    assert entry()["command"].startswith(": cronq run; ")
    assert entry()["command"].endswith("|| /usr/bin/cronq run")


@pytest.mark.parametrize(
    ("cronq", "systemd", "timer", "runs"),
    [
        (True, False, False, True),
        (True, False, True, True),
        (True, True, False, True),
        (True, True, True, False),
        (False, False, False, False),
        (False, True, False, False),
    ],
)
def test_line_runs_where_cronq_is_installed_and_no_timer_does_it(
    cronq: bool, systemd: bool, timer: bool, runs: bool, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    _program(tmp_path / "cronq", f"echo $1 >>{ran}; exit 7", exists=cronq)
    _program(tmp_path / "systemctl", f"echo noise >&2; exit {0 if timer else 3}")
    running = tmp_path / "system"
    if systemd:
        running.mkdir()
    line = entry()["command"].replace("/usr/bin/cronq", str(tmp_path / "cronq"))
    line = line.replace("/run/systemd/system", str(running))
    done = subprocess.run(
        ["/bin/sh", "-c", line], env={"PATH": f"{tmp_path}:/bin"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (7 if runs else 0, "", "")
    assert ran.exists() is runs


def _program(path: Path, text: str, *, exists: bool = True) -> None:
    if exists:
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)


def test_environment_is_a_path_and_leaves_mail_alone() -> None:
    settings = [line for line in CRONTAB.read_text().splitlines() if re.match(r"\w+\s*=", line)]
    assert [line.partition("=")[0] for line in settings] == ["PATH"]
    assert "$" not in settings[0]


def packaged(user: str, directory: Path) -> str:
    """The packaged file with another user and another place of the command, and nothing else changed."""
    command = directory / "bin-cronq"
    command.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    command.chmod(0o755)
    text = CRONTAB.read_text().replace("/usr/bin/cronq", str(command))
    return text.replace(" * cronq ", f" * {user} ")


EVERY_MINUTE = """
[schedules."tick"]
cron = "* * * * *"
command = "[ -e killed ] || { touch killed; kill -9 $(cut -d' ' -f4 /proc/$PPID/stat); }"
overlap = "allow"
"""
"""The first job kills the run that started it."""


class Minutes(NamedTuple):
    """A cron daemon and the queues that it drives."""

    cron: Cron
    good: Project
    bad: Project
    scheduled: Project


@pytest.fixture(scope="module")
def minutes() -> Iterator[Minutes]:
    """One cron for both tests, so that they wait for the same minutes; the paths are short enough for a socket's."""
    users = ("cronq", "cronq-bad", "cronq-scheduled")
    with tempfile.TemporaryDirectory(prefix="cronq-") as directory:
        homes = {user: Path(directory) / user for user in users}
        for home in homes.values():
            home.mkdir()
        good, bad, scheduled = (Project(home) for home in homes.values())
        good.enqueue("say", "text=hello")
        good.enqueue("--", "echo", "hello")
        bad.enqueue("break", "why=out of paper", "--max-attempts", 1)
        scheduled.write("cronq.toml", 'database = "sqlite:///cronq.db"\n' + EVERY_MINUTE)
        scheduled.done("schedules", "sync")
        crontabs = {user: packaged(user, home) for user, home in homes.items()}
        root = Path(directory) / "cron"
        root.mkdir()
        with Cron(root, users=homes, crontabs=crontabs) as cron:
            yield Minutes(cron, good, bad, scheduled)


@pytest.mark.slow
@pytest.mark.waits
@pytest.mark.needs("cron")
def test_real_cron_runs_jobs_mails_nothing_on_success_and_one_line_for_a_failed_job(minutes: Minutes) -> None:
    cron = minutes.cron
    for user in ("cronq", "cronq-bad"):
        wait_until(lambda: cron.logged(f"({user})", " END "), seconds=150, what=f"{user}'s run")  # noqa: B023
    mails = [mail for mail in cron.mails() if mail["To"] != "cronq-scheduled"]

    assert [job["state"] for job in minutes.good.jobs()] == ["finished", "finished"]
    [failed] = minutes.bad.jobs()
    assert failed["state"] == "failed"
    [mail] = mails
    assert mail["To"] == "cronq-bad"
    assert "> : cronq run; " in mail["Subject"]
    [line] = str(mail.get_payload()).splitlines()
    assert "out of paper" in line
    assert line.endswith(f"; cronq show {failed['id']}")


@pytest.mark.slow
@pytest.mark.waits
@pytest.mark.timeout(400 + 70 * MINUTES)
@pytest.mark.needs("cron")
def test_real_cron_drives_a_schedule_of_every_minute_over_a_killed_run(minutes: Minutes) -> None:
    due_times = MINUTES or 2
    cron, project = minutes.cron, minutes.scheduled

    def ran() -> int:
        # It stands still once ten lines of its log wait to be read.
        return sum("(cronq-scheduled)" in line and " END " in line for line in cron.log())

    wait_until(
        lambda: ran() >= due_times and len(project.jobs("--state", "finished")) >= due_times,
        seconds=130 + 60 * due_times,
        what=f"{due_times} due times ran",
        pause=0.1,
    )

    def decisions() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(project.done("schedules", "show", "tick", "--json"))["decisions"]
        return found[::-1]

    wait_until(lambda: len(decisions()) == len(project.jobs()), what="as many jobs as due times")  # cron goes on
    decided = decisions()
    assert {one["outcome"] for one in decided} == {"enqueued"}
    due = [datetime.fromisoformat(one["due_at"]) for one in decided]
    assert due == [due[0] + timedelta(minutes=n) for n in range(len(due))]
    assert len(due) >= due_times
    assert due[0].second == 0
    assert (project.directory / "killed").exists()
