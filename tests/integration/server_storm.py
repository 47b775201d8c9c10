"""Run the storm over a database server: two hosts die, one is cut off, and the server itself is killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from cronq import Cronq
from cronq.config import loader as configuration
from cronq.config.loader import Config
from cronq.storage.drivers.opening import open_database
from cronq.store import Store
from cronq.times import Clock
from daemons.databases import Running
from daemons.galera import Node
from tests.integration.running import Queue
from tests.integration.storm import LANES, Storm, children_of
from tests.integration.verdicts import LEASE_ENDED
from tests.network import Host, Network
from tests.project import COMMAND, Project
from tests.started import Process
from tests.waiting import wait_until

LEASE = 3.0
NODES = ("first", "second")
"""The nodes of a Galera cluster, and the names of their hosts."""

COLUMNS = ("id", "state", "attempt", "crashes", "job_group", "queue", "priority", "job_key", "host")
CONFIG = 'lease = "{lease:g}s"\nlock_dir = "locks-{host}"\n'


class ServerQueue(Queue):
    """A queue in database servers, for hosts with locks and journals of their own; each host has its server's URL."""

    def __init__(self, project: Project, databases: Mapping[str, str], *, lease: float = LEASE) -> None:
        self._databases = databases
        self._lease = lease
        super().__init__(project)
        self._looking = open_database(self.app.config)

    def tasks(self, text: str, config: str = "") -> None:
        super().tasks(text, config)
        first = next(iter(self._databases))
        for name, host in ((first, "cronq"), *((name, name) for name in self._databases)):
            head = f'database = "{self._databases[name]}"\napp = "jobs:queue"\n'
            self.project.write(f"{host}.toml", head + CONFIG.format(host=host, lease=self._lease) + config)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._looking.close()

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self._looking.query(statement, parameters)

    def rows(self, where: str = "1 = 1", *parameters: Any) -> list[dict[str, Any]]:
        found = self.sql(f"SELECT {', '.join(COLUMNS)} FROM cronq_jobs WHERE {where} ORDER BY id", *parameters)
        return [dict(zip(COLUMNS, row, strict=True)) for row in found]


class ClusterQueue(ServerQueue):
    """A queue in a cluster: each host uses the node of its name; the test enqueues through both nodes in turn."""

    def __init__(self, project: Project, nodes: tuple[Node, Node]) -> None:
        self._apps: list[Cronq] = []
        super().__init__(project, {name: node.url("jobs") for name, node in zip(NODES, nodes, strict=True)})

    def tasks(self, text: str, config: str = "") -> None:
        super().tasks(text, config)
        self._close_apps()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._close_apps()

    def _close_apps(self) -> None:
        for app in self._apps:
            app.close()
        self._apps = []

    @property
    def app(self) -> Cronq:
        if not self._apps:
            self._apps = [Cronq(self.config(name)) for name in NODES]
        self._apps.reverse()
        return self._apps[0]

    def store(self, name: str) -> Store:
        return Store(self.config(name), Clock())

    def config(self, name: str) -> Config:
        return configuration.load(file=str(self.directory / f"{name}.toml"), environ={})


class ServerStorm(Storm):
    """A storm of three runners on each of two hosts."""

    def __init__(self, server: Running, network: Network, project: Project, *, seed: int) -> None:
        self._server = server
        self._hosts = {name: network.host(name) for name in ("north", "south")}
        self._cut_off: Host | None = None
        self._long: list[int] = []
        self.lanes = [(name, *lane) for name in self._hosts for lane in LANES]
        super().__init__(ServerQueue(project, dict.fromkeys(self._hosts, server.url("jobs"))), seed=seed)

    def command(self, lane: tuple[str, ...]) -> list[str]:
        name, *options = lane or (self._random.choice(list(self._hosts)),)
        return [*self._hosts[name].command, *COMMAND, "--config", f"{name}.toml", "run", "--jobs", "2", *options]

    def within_reach(self) -> list[Process]:
        """Return the runners but those of the host that is cut off, whose own behaviour is tested."""
        return [process for lane, process in self._runners.items() if self._hosts[lane[0]] is not self._cut_off]

    def kill_server(self) -> None:
        """Kill the server, and start it again."""
        self.note("kill the server")
        self._server.kill()
        self._server.start()
        self.note("the server answers again")

    def kill_host(self) -> None:
        """Kill all processes of a host, and delete its locks and journals, as for a host with a new disk."""
        name = self._random.choice(list(self._hosts))
        processes = [process for lane, process in self._runners.items() if lane[0] == name]
        self.note(f"kill host {name}")
        for process in processes:
            for pid in (process.pid, *children_of(process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for process in processes:
            process.wait()
        shutil.rmtree(self.queue.directory / f"locks-{name}", ignore_errors=True)
        self.kills["host"] += 1

    def cut(self) -> None:
        """Cut a host off while it runs jobs that take longer than its leases, with others in their groups."""
        groups = [f"group-{number}" for number in range(8)]
        long = {"args": {"seconds": 1.5 * LEASE, "hopeless": False}, "task": "jobs.work", "queue": "a", "priority": 0}
        jobs = self.queue.app.enqueue_many([{**long, "group": group} for group in groups], check=False)
        self.expected.update({job.id: "finished" for job in jobs})
        self._long = [job.id for job in jobs]
        name = wait_until(lambda: self._busy_with_long(), seconds=60, what="a long job runs")
        self.note(f"cut {name} off")
        self._cut_off = self._hosts[name]
        self._cut_off.cut()

    def _busy_with_long(self) -> str:
        self._start_missing()
        running = self.queue.rows("state = 'running' AND id BETWEEN ? AND ?", self._long[0], self._long[-1])
        return str(running[0]["host"]) if running else ""

    def is_rescued(self) -> bool:
        """Tell whether another host has taken over jobs of the host that is cut off."""
        self._start_missing()
        sql = "SELECT 1 FROM cronq_attempts WHERE error_message LIKE ? AND job_id BETWEEN ? AND ?"
        return bool(self.queue.sql(sql, f"{LEASE_ENDED}%", self._long[0], self._long[-1]))

    def mend(self) -> None:
        """Connect the host again."""
        assert self._cut_off is not None
        self.note(f"plug {self._cut_off.name} in again")
        self._cut_off.plug_in()
        self._cut_off = None
