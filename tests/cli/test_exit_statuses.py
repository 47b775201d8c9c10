"""Every exit status of the table in docs/cli.md, provoked."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cronq import Cronq
from tests.project import COMMAND, ROOT, Project
from tests.waiting import wait_until

TABLE = re.search(r"^## Exit status\n(.*?)^## ", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE | re.DOTALL)
Provoked = Callable[[Project], int]


def done(project: Project) -> int:
    project.enqueue("give-up")
    return project.cronq("ls").status


def failed(project: Project) -> int:
    project.enqueue("give-up")
    return project.cronq("run", "--fail").status


def not_there(project: Project) -> int:
    return project.cronq("show", 7).status


def misused(project: Project) -> int:
    return project.cronq("ls", "--nonsense").status


def bad_input(project: Project) -> int:
    return project.cronq("enqueue", "unserved-of").status


def out_of_reach(project: Project) -> int:
    return project.cronq("--db", "sqlite:////nowhere/at/all.db", "ls").status


def own_error(project: Project) -> int:
    app = project.directory / "jobs.py"
    app.write_text(f"{app.read_text()}\nqueue.registry.resolve = None\n")
    return project.cronq("enqueue", "say", "text=x").status


def not_written(project: Project) -> int:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [*COMMAND, "--version"], env=project.environment, stdout=full, stderr=subprocess.DEVNULL, check=False
        )
    return ran.returncode


def not_now(project: Project) -> int:
    return project.cronq("wait", project.enqueue("--at", "+1h", "--", "true"), "--timeout", "0").status


def misconfigured(project: Project) -> int:
    return project.cronq("ls", env={"CRONQ_JOBS": "many"}).status


def interrupted(project: Project) -> int:
    """Starts no process before: tests/cli/test_inherited.py is about those that a test starts first."""
    with Cronq(database=f"sqlite:///{project.database}") as queue:
        job = queue.command("true", at="+1h").id
    with project.start("wait", job, anew=True) as process:
        descriptors = f"/proc/{process.pid}/fd"
        wait_until(lambda: _has_open(descriptors, "cronq.db"), what="it waits for the job")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    return process.returncode


def reader_gone(project: Project) -> int:
    project.done("enqueue", "--stdin", stdin=f'{{"command": "true {"x" * 1000}"}}\n' * 300)
    with project.start("ls", "--limit", "0", anew=True) as process:
        assert process.stdout
        process.stdout.close()
        wait_until(lambda: process.poll() is not None, seconds=60, what="it ends")
    return process.returncode


def _has_open(descriptors: str, name: str) -> bool:
    listed = subprocess.run(["ls", "-l", descriptors], capture_output=True, text=True, check=False)
    return name in listed.stdout


STATUSES: dict[int, tuple[Provoked, ...]] = {
    0: (done,),
    1: (failed, not_there),
    64: (misused,),
    65: (bad_input,),
    69: (out_of_reach,),
    70: (own_error,),
    74: (not_written,),
    75: (not_now,),
    78: (misconfigured,),
    130: (interrupted,),
    141: (reader_gone,),
}
WAYS = [(status, provoke) for status, ways in STATUSES.items() for provoke in ways]


def test_every_status_of_the_table_has_a_way_to_provoke_it() -> None:
    assert TABLE
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", TABLE[1], re.MULTILINE)] == list(STATUSES)


@pytest.mark.parametrize(("status", "provoke"), WAYS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_status(project: Project, status: int, provoke: Provoked) -> None:
    assert provoke(project) == status
