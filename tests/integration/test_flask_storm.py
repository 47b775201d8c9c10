"""The Flask example under gunicorn with --preload: requests that enqueue, while processes and workers are killed."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cronq
from cronq.system.process_tree import descendants
from daemons.databases import free_port
from tests import scale
from tests.frameworks import Programs
from tests.started import Process
from tests.waiting import wait_until

EXAMPLE = Path(cronq.__path__[0]).parent / "examples" / "flask"
REQUESTS = scale.times(60, full=1000)
KILLED_EACH = scale.times(30, full=50)
"""Answers after which a process of the site and the worker are killed."""


class Answer(NamedTuple):
    """The answer to a request; the status is 0 where the site's process was killed meanwhile."""

    status: int
    told: dict[str, Any]


class Site:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._port = free_port()
        # Workers are killed so often that one job may meet three of the kills.
        self._programs = Programs(directory, FLASK_APP="shop:create_app", CRONQ_CRASH_LIMIT="1000")

    def start(self, *words: str) -> Process:
        return self._programs.begin("-m", *words)

    def done(self, *words: str) -> None:
        self._programs.done("-m", *words)

    @contextmanager
    def served(self) -> Iterator[Process]:
        """gunicorn, which has made the application before it forks."""
        bind = f"--bind=127.0.0.1:{self._port}"
        server = self.start("gunicorn", "--preload", "--workers=2", "--threads=2", bind, "shop:create_app()")
        try:
            wait_until(lambda: self.post("/views/first").status == 202, seconds=60, what="gunicorn")
            yield server
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=60) == 0

    def post(self, path: str, body: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("POST", path, json.dumps(body or {}), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return Answer(answer.status, json.loads(answer.read()) if answer.status in {202, 422} else {})
        except (OSError, http.client.HTTPException):
            return Answer(0, {})
        finally:
            connection.close()

    def select(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.directory / "shop.db", timeout=60)) as connection:
            return connection.execute(sql).fetchall()


class Storm:
    """Sends requests, and kills in between."""

    def __init__(self, site: Site, server: Process) -> None:
        self._site = site
        self._server = server
        self._lock = threading.Lock()
        self._answered = 0
        self.worker = site.start("cronq", "work", "--jobs", "2")

    def send(self, number: int) -> Answer:
        if number % 2:
            answer = self._site.post(f"/views/page{number}")
        else:
            answer = self._site.post("/orders", {"customer": "ann" if number % 10 else ""})
        with self._lock:
            self._answered += 1
            if self._answered % KILLED_EACH == 0:
                self._kill()
        return answer

    def _kill(self) -> None:
        os.kill(max(descendants(self._server.pid)), signal.SIGKILL)
        self.worker.kill()
        self.worker.wait(timeout=60)
        self.worker = self._site.start("cronq", "work", "--jobs", "2")


def test_what_was_answered_is_done_though_processes_are_killed(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "site", ignore=shutil.ignore_patterns("*.db*", "__pycache__"))
    site = Site(tmp_path / "site")
    site.done("flask", "cronq", "update-schema")
    with site.served() as server:
        storm = Storm(site, server)
        try:
            with ThreadPoolExecutor(4) as clients:
                answers = list(clients.map(storm.send, range(REQUESTS)))
            wait_until(
                lambda: site.select("SELECT count(*) FROM cronq_jobs WHERE finished_at IS NULL") == [(0,)],
                seconds=120,
                what="all jobs have ended",
            )
        finally:
            storm.worker.terminate()
            storm.worker.wait(timeout=60)
    assert {answer.status for answer in answers} <= {0, 202, 422}
    assert sum(answer.status == 0 for answer in answers) <= 4 * REQUESTS // KILLED_EACH
    acknowledged = {answer.told["job"] for answer in answers if answer.status == 202}
    finished = {row[0] for row in site.select("SELECT id FROM cronq_jobs WHERE state = 'finished'")}
    assert acknowledged <= finished
    assert site.select("SELECT count(*) FROM cronq_jobs WHERE state <> 'finished'") == [(0,)]
    orders = {row[0] for row in site.select('SELECT id FROM "order" WHERE confirmed')}
    assert {answer.told["order"] for answer in answers if "order" in answer.told} <= orders
    keys = {row[0] for row in site.select("SELECT job_key FROM cronq_jobs WHERE task = 'shop.tasks.confirm'")}
    assert keys == {f"order-{number}" for (number,) in site.select('SELECT id FROM "order"')}
    assert site.select("SELECT count(*) FROM \"order\" WHERE customer = ''") == [(0,)]
