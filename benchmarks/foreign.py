"""Measure queues of other languages: one script below benchmarks/peers enqueues in its own process, another works."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import subprocess
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from benchmarks.peer import Peer
from benchmarks.processor import of_trees
from benchmarks.work import Order
from daemons.programs import UNPACKED

SCRIPTS = Path(__file__).parent / "peers"
MODULES = UNPACKED / "node"
"""The directory in which npm installs the packages of package.json, beside the servers unpacked for the tests."""

NPM = ("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
NPM_SECONDS = 300


class Foreign(Peer):
    """A queue whose producer reads from a pipe what to enqueue, and answers when that is done.

    Many jobs are sent as one line before the first of them is enqueued, so the pipe costs next to nothing.
    """

    stops = False

    def open(self) -> None:
        self._producer = subprocess.Popen(self.producer(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        atexit.register(self._end)

    @abstractmethod
    def producer(self) -> list[str]:
        """Return the command of the process that enqueues."""

    def put(self, order: Order) -> None:
        self.put_each([order])

    def put_each(self, orders: Sequence[Order]) -> None:
        self._ask("each", orders)

    def put_many(self, orders: Sequence[Order]) -> None:
        self._ask("many", orders)

    def processor_time(self) -> float:
        return super().processor_time() + of_trees([self._producer.pid])

    def _ask(self, how: str, orders: Sequence[Order]) -> None:
        assert self._producer.stdin is not None
        assert self._producer.stdout is not None
        line = json.dumps({"how": how, "orders": [order.arguments() for order in orders]})
        self._producer.stdin.write(f"{line}\n".encode())
        self._producer.stdin.flush()
        answer = self._producer.stdout.readline()
        assert answer == b"done\n", f"{self.name}: {answer!r}"

    def _end(self) -> None:
        self._producer.communicate()


class Node(Foreign):
    """A queue from npm."""

    script: ClassVar[str]

    @classmethod
    def missing(cls) -> str | None:
        return node_lacks()

    @abstractmethod
    def server_url(self) -> str:
        """Return the URL of the server that has its jobs."""

    def producer(self) -> list[str]:
        return self._command("produce")

    def workers(self) -> list[list[str]]:
        return [self._command("work")] * 2

    def _command(self, what: str) -> list[str]:
        path = f"NODE_PATH={MODULES / 'node_modules'}"
        return ["env", path, "node", str(SCRIPTS / "node" / self.script), what, self.server_url()]


@functools.cache
def node_lacks() -> str | None:
    """Install the queues from npm unless they are installed; return what is missing for them, or None."""
    if lacking := [name for name in ("node", "npm") if shutil.which(name) is None]:
        return " and ".join(lacking)
    wanted, present = (SCRIPTS / "node" / "package.json").read_bytes(), MODULES / "installed.json"
    if present.exists() and present.read_bytes() == wanted:
        return None
    if not _installed(wanted):
        return f"what npm could not install, see {MODULES / 'npm.log'}"
    present.write_bytes(wanted)
    return None


def _installed(wanted: bytes) -> bool:
    MODULES.mkdir(parents=True, exist_ok=True)
    (MODULES / "package.json").write_bytes(wanted)
    with (MODULES / "npm.log").open("wb") as log:
        try:
            done = subprocess.run(NPM, cwd=MODULES, stdout=log, stderr=log, timeout=NPM_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0
