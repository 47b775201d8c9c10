"""A SQLite queue and the other users of its host: real ones, which only root can become."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.running import Queue
from tests.project import Project, Ran

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")

OTHER = 65534
NAME = pwd.getpwuid(OTHER).pw_name


BECOME = """
import contextlib, importlib, os, pkgutil, sys
import cronq, cronq.cli
for module in pkgutil.walk_packages(cronq.__path__, "cronq."):
    if "__main__" not in module.name:
        with contextlib.suppress(ImportError):
            importlib.import_module(module.name)
user = int(sys.argv[1])
os.setgroups([])
os.setgid(user)
os.setuid(user)
sys.exit(cronq.cli.main(sys.argv[2:]))
"""
"""Becomes another user when everything is imported: Python and cronq may lie where only root can read."""


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
    ran = subprocess.run(
        [sys.executable, "-c", BECOME, str(OTHER), *arguments],
        cwd=queue.directory,
        env={**queue.project.environment, "CRONQ_CONFIG": str(queue.directory / "cronq.toml")},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


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
