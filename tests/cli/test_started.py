"""A command that is started as a fork looks to a test as one that a Python was started for."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.project import Project
from tests.started import Process, Started

pytestmark = pytest.mark.parametrize("anew", [False, True])


def test_its_streams_and_status(project: Project, anew: bool) -> None:
    with project.start("enqueue", "--stdin", anew=anew) as process:
        assert isinstance(process, Started) is not anew
        assert process.communicate('{"command": "true"}\n', timeout=60) == ("1\n", "")
    assert (process.returncode, process.wait()) == (0, 0)


def test_what_it_has_printed_until_a_timeout(project: Project, anew: bool) -> None:
    job = project.enqueue("--at", "+1h", "--", "true")
    with waiting(project, job, anew) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.01)
        with pytest.raises(subprocess.TimeoutExpired) as over:
            process.communicate(timeout=0.01)
        assert over.value.output in {b"", None}
        process.kill()
        _, said = process.communicate()
    assert (said, process.returncode, process.poll()) == ("", -signal.SIGKILL, -signal.SIGKILL)


def test_a_signal_ends_it(project: Project, anew: bool) -> None:
    with waiting(project, project.enqueue("--at", "+1h", "--", "true"), anew) as process:
        process.terminate()
    assert process.returncode == -signal.SIGTERM


def waiting(project: Project, job: int, anew: bool) -> Process:
    return project.start("wait", job, anew=anew)
