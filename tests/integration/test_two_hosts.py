"""Workers of two hosts behind RabbitMQ, over MariaDB: they share the work, and one does what the other dies of."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

import pytest

from daemons.databases import on_network
from tests import brokers
from tests.integration.afar import NEVER, SOON
from tests.integration.server_storm import ServerQueue
from tests.integration.storm import children_of
from tests.integration.verdicts import LEASE_ENDED
from tests.network import Host, Network
from tests.project import COMMAND, Project
from tests.proxy import Proxy
from tests.waiting import wait_until

JOBS = 40
"""As many at a time, until both hosts have done some."""

HELD = 200
"""More than one host takes at a time."""
TASKS = """\
@queue.task
def work(word):
    mark(os.uname().nodename, word)
    time.sleep(0.04)


@queue.task
def holds(word):
    mark(os.uname().nodename, word)
    pause_until((HERE / "go").exists)
"""


class Hosts(ServerQueue):
    """A queue whose workers are on hosts of their own, each with a queue of its own in the broker."""

    def __init__(self, project: Project, network: Network, database: str, wake: str) -> None:
        self._wake = wake
        self._hosts = {name: network.host(name) for name in ("north", "south")}
        super().__init__(project, dict.fromkeys(self._hosts, database))
        self.tasks(TASKS)

    def tasks(self, text: str, config: str = "") -> None:
        super().tasks(text, f'wake = "{self._wake}"\n{config}')

    def work_on(self, name: str) -> subprocess.Popen[str]:
        """Start a worker on a host."""
        host: Host = self._hosts[name]
        command = [*host.command, *COMMAND, "--config", f"{name}.toml", "work", *NEVER, "--jobs", "2"]
        worker = subprocess.Popen(
            command, cwd=self.directory, env=self.project.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._started.append(worker)
        wait_until(lambda: self.sql("SELECT 1 FROM cronq_workers WHERE host = ?", name), what=f"a worker on {name}")
        return worker

    def is_done(self) -> bool:
        """Whether all jobs are finished."""
        return {row["state"] for row in self.rows()} == {"finished"}

    def enqueue(self, task: str, words: list[str]) -> None:
        """Enqueue a job for each word, and ring: on a busy machine a broker may miss the second of an enqueue."""
        self.app.enqueue_many([{"task": f"jobs.{task}", "args": {"word": word}} for word in words], check=False)
        wait_until(lambda: self.project.cronq("ring").status == 0, what="the broker takes a message")

    def share_more(self) -> bool:
        """Have the hosts do some more jobs; whether both have done some by now."""
        there = len(self.rows())
        self.enqueue("work", [f"word{n}" for n in range(there, there + JOBS)])
        wait_until(self.is_done, what="these are finished")
        return min(self.shares()["north"], self.shares()["south"]) >= JOBS // 10

    def shares(self) -> Counter[str]:
        """How many runs each host began."""
        return Counter(line.split()[0] for line in self.recorded())


@pytest.fixture
def hosts(project: Project) -> Iterator[Hosts]:
    broker = brokers.shared("rabbitmq")
    with (
        Network() as network,
        Proxy(broker.port, address=network.address) as proxy,
        on_network("mariadb", network.address) as server,
    ):
        server.execute("CREATE DATABASE jobs")
        wake = broker.named(f"test{uuid4().hex}", port=proxy.port).replace("127.0.0.1", network.address)
        with Hosts(project, network, server.url("jobs"), wake) as hosts:
            hosts.app.store.prepare()
            yield hosts


@pytest.mark.slow
@pytest.mark.needs("mariadb", "rabbitmq", "network")
def test_workers_of_two_hosts_share_the_work_and_one_does_what_the_other_leaves(hosts: Hosts) -> None:
    workers = {name: hosts.work_on(name) for name in ("north", "south")}
    wait_until(lambda: hosts.share_more(), seconds=120, what="both are at work")
    hosts.enqueue("holds", [f"held{n}" for n in range(HELD)])
    wait_until(
        lambda: any(line.startswith("north held") for line in hosts.recorded()), what="the north runs one of them"
    )
    kill(workers["north"])
    (hosts.directory / "go").touch()
    wait_until(hosts.is_done, seconds=60, what="all are finished")
    jobs = len(hosts.rows())
    runs = Counter(line.split()[1] for line in hosts.recorded())
    rescued = hosts.sql("SELECT job_id FROM cronq_attempts WHERE error_message LIKE ?", f"{LEASE_ENDED}%")
    assert len(runs) == jobs
    assert len(rescued) > 0
    assert sum(runs.values()) - jobs <= len(rescued)
    hosts.enqueue("work", ["after"])
    hosts.wait_for_record("south after", seconds=SOON)


def kill(worker: subprocess.Popen[str]) -> None:
    """Kill a worker with all its processes, as the loss of its host does."""
    for pid in (worker.pid, *children_of(worker.pid)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    worker.communicate()
