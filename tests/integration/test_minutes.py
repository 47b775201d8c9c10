"""What `cronq metrics` counts, while runners are killed and jobs are cleared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import scale
from tests.contract.conftest import engine_queue
from tests.integration.running import HEADER
from tests.project import Project

TASKS = """\
@queue.task
def kills():
    if current_job().attempt == 1:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
"""


@pytest.fixture(params=scale.engines("mariadb"))
def runs(request: pytest.FixtureRequest, project: Project, tmp_path: Path) -> Project:
    """A project whose queue is on the engine in turn."""
    config = engine_queue(request.param, tmp_path)
    project.write("jobs.py", HEADER + TASKS)
    project.write("cronq.toml", f'database = "{config.database}"\napp = "jobs:queue"\n[retry]\nbase = "1s"\n')
    return project


def counted(project: Project) -> dict[str, int]:
    found = re.findall(r'cronq_attempts_total\{queue="default",state="(\w+)"\} (\d+)', project.done("metrics"))
    return {state: int(number) for state, number in found}


def test_a_killed_runner_counts_nothing_twice_and_clearing_takes_nothing_away(runs: Project) -> None:
    runs.done("enqueue", "--stdin", stdin='{"task": "jobs.nothing"}\n' * 20)
    runs.done("run")
    assert counted(runs)["finished"] == 20
    runs.done("enqueue", "jobs.kills")
    runs.done("enqueue", "jobs.nothing")
    assert runs.cronq("run", "--jobs", "1").status == -9
    runs.done("run")
    runs.done("run")
    finished = counted(runs)["finished"]
    assert 21 <= finished <= 22
    assert counted(runs)["retrying"] <= 1
    runs.done("clear-finished")
    assert runs.jobs() == []
    assert counted(runs)["finished"] == finished
