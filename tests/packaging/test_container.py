"""packaging/Containerfile: what its image promises, in namespaces over this machine's own files.

A container here is a pid namespace with a name of its own, in which nothing can be written but the volume, and a user
that no file of the machine knows. It may read all, for the tests' Python may lie in a directory of root's.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.project import ROOT, Project
from tests.servers import UNSHARE
from tests.waiting import wait_until

pytestmark = pytest.mark.needs("namespaces")

VOLUME = "/mnt"
USER = 10001
CONTAINER = f"""\
set -eu
hostname "$1"
mount --bind "$2" {VOLUME}
mount -o remount,ro,bind /
cd {VOLUME}
shift 2
only=-all,+dac_read_search
exec setpriv --reuid={USER} --regid={USER} --clear-groups --no-new-privs --inh-caps=$only --ambient-caps=$only \\
    --bounding-set=$only env -i HOME={VOLUME} \\
    PATH="{Path(sys.prefix) / "bin"}:{ROOT / "packaging" / "container"}:/usr/bin:/bin" "$@"
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """What all containers share; their user finds it outside of them, too."""
    tmp_path.chmod(0o711)
    volume = tmp_path / "volume"
    volume.mkdir()
    os.chown(volume, USER, USER)
    return volume


@pytest.fixture
def start(volume: Path) -> Iterator[Start]:
    """Starts a command as the first process of a container of this name; all of them have one volume."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str, *command: str) -> subprocess.Popen[str]:
        within = [*UNSHARE, "--uts", "--ipc", "--kill-child=KILL", "sh", "-c", CONTAINER, "sh", name, str(volume)]
        process = subprocess.Popen([*within, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.kill(first_process(process), signal.SIGKILL)
        process.communicate()


@pytest.fixture
def cronq(volume: Path, tmp_path: Path) -> Callable[..., str]:
    """What cronq prints to their user on another host: here, outside of the containers, where it starts quickly."""
    place = tmp_path / "outside"
    place.mkdir()
    outside = Project(place)
    # Not by the user: migrations are read from files, which may lie where only root can read.
    assert outside.cronq("update-schema", env={"HOME": str(volume)}, cwd=volume).status == 0
    for path in volume.rglob("*"):
        os.chown(path, USER, USER)

    def cronq(*arguments: str) -> str:
        ran = outside.cronq(*arguments, env={"HOME": str(volume)}, cwd=volume, user=USER)
        assert ran.status == 0, ran
        return ran.stdout.strip()

    return cronq


def first_process(container: subprocess.Popen[str]) -> int:
    """The process that has number 1 in the container."""
    return int(Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text())


def test_the_containers_have_one_writable_place(start: Start) -> None:
    said, _ = start("alone", "sh", "-c", "id -u; touch here && echo written; touch /tmp/x /x").communicate(timeout=60)
    assert said.startswith("10001\nwritten\n")
    assert said.count("cannot touch") == 2


@pytest.mark.slow
@pytest.mark.parametrize("first", ["cronq work", "cronq-every-minute --jobs 2"], ids=["worker", "loop"])
def test_cron_s_part_is_played_by_the_first_process(
    start: Start, volume: Path, cronq: Callable[..., str], first: str
) -> None:
    until_asked = "until [ -e asked ]; do sleep 0.05; done; sleep 0.5"
    job = cronq("enqueue", "--", "sh", "-c", f"hostname; touch begun; {until_asked}; echo ended")
    container = start("first", *first.split())
    wait_until(lambda: (volume / "begun").exists(), seconds=60, what="the job has begun")
    os.kill(first_process(container), signal.SIGTERM)
    (volume / "asked").touch()
    said, _ = container.communicate(timeout=60)
    assert (container.returncode, said) == (0, "")
    assert "  first\n  ended" in cronq("show", job)


@pytest.mark.slow
def test_a_worker_hears_of_jobs_from_another_container(start: Start, cronq: Callable[..., str]) -> None:
    cronq("enqueue", "--at", "+1h", "--", "true")
    start("first", "cronq", "work", "--poll", "120s")
    wait_until(lambda: "running" in cronq("workers"), seconds=60, what="the worker is there")
    enqueued = start("other", "cronq", "enqueue", "--", "hostname")
    said, _ = enqueued.communicate(timeout=60)
    assert enqueued.returncode == 0, said
    job = said.strip()
    cronq("wait", job, "--timeout", "50s")
    assert "  first" in cronq("show", job)


def test_what_the_image_is_made_of_is_there() -> None:
    text = (ROOT / "packaging" / "Containerfile").read_text()
    copied = [path for paths in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for path in paths.split()]
    assert copied
    assert [path for path in copied if not (ROOT / path).exists()] == []
    assert os.access(ROOT / "packaging" / "container" / "cronq-every-minute", os.X_OK)
