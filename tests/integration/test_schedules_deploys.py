"""A rolling deploy of two hosts whose code declares different schedules, with the command as deploy scripts call it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import servers, warm
from tests.project import COMMAND, Project
from tests.waiting import wait_until

pytestmark = [pytest.mark.needs("network"), pytest.mark.slow]

OLD = """\
from cronq import Cronq

queue = Cronq.from_config()


@queue.cron("30 2 * * *")
@queue.task(name="report")
def report() -> None: ...
"""
NEW = (
    OLD.replace("30 2", "0 12")
    + """

@queue.every("1s", overlap="allow")
@queue.task(name="tick")
def tick() -> None: ...
"""
)


class Cluster:
    """Hosts with names and code of their own, and one queue."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._keepers: dict[str, subprocess.Popen[bytes]] = {}

    def host(self, name: str, code: str) -> None:
        """A host with this code; one that is there gets it."""
        place = self._project.directory / name
        (self._project.directory / "shared").mkdir(exist_ok=True)
        text = f'database = "sqlite:///{self._project.directory}/shared/q.db"\nlock_dir = "locks"\napp = "jobs:queue"\n'
        self._project.write(f"{name}/cronq.toml", text)
        self._project.write(f"{name}/jobs.py", code)
        for cached in Path(place / "__pycache__").glob("*"):
            cached.unlink()
        if name not in self._keepers:
            held = [*servers.HOST, "sh", "-c", f"hostname {name} && echo && cat"]
            keeper = self._keepers[name] = subprocess.Popen(held, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert keeper.stdout is not None
            assert keeper.stdout.readline() == b"\n"

    def on(self, name: str, *words: str) -> str:
        """What a command prints on a host."""
        place, host = self._project.directory / name, self._keepers[name].pid
        ran = warm.run(Path(COMMAND[0]), warm.Command(words, place, self._project.environment, host=host), 60)
        assert (ran.status, ran.stderr) == (0, ""), ran
        return ran.stdout

    def shown(self, host: str, name: str) -> Any:
        """A schedule, as a host sees it."""
        return json.loads(self.on(host, "schedules", "show", name, "--json"))

    def rule(self) -> str:
        return str(self.shown("web1", "report")["cron"][0])

    def end(self) -> None:
        for keeper in self._keepers.values():
            keeper.communicate()


@pytest.fixture
def cluster(project: Project) -> Iterator[Cluster]:
    made = Cluster(project)
    try:
        yield made
    finally:
        made.end()


def test_a_rolling_deploy_goes_one_way_and_a_rollback_goes_back(cluster: Cluster) -> None:
    for name in ("web1", "web2"):
        cluster.host(name, OLD)
        cluster.on(name, "run")
    assert cluster.rule() == "30 2 * * *"
    cluster.host("web1", NEW)
    assert cluster.on("web1", "schedules", "sync") == "report\ntick\n"
    cluster.on("web2", "run")
    cluster.on("web2", "schedules", "next", "report")
    assert cluster.rule() == "0 12 * * *"
    told = cluster.on("web1", "schedules", "show", "report")
    assert "web2 (jobs:queue), which says something else" in told

    def fired_by_the_old_code() -> bool:
        cluster.on("web2", "run", "--queue", "none")
        return any(one["host"] == "web2" and one["job_id"] for one in cluster.shown("web1", "tick")["decisions"])

    wait_until(fired_by_the_old_code, seconds=60, what="web2 fires what only web1 declares", pause=0.3)
    cluster.host("web1", OLD)
    assert "report" in cluster.on("web1", "schedules", "sync").split()
    assert cluster.rule() == "30 2 * * *"
    cluster.on("web2", "run", "--queue", "none")
    assert cluster.rule() == "30 2 * * *"
    assert [one["same"] for one in cluster.shown("web1", "report")["declarations"]] == [True, True]
