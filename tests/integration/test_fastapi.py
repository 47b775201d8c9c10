"""The FastAPI example under uvicorn: many requests that enqueue, while workers are killed."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

import cronq
from daemons.databases import free_port
from tests.frameworks import Programs
from tests.scale import times
from tests.started import Process
from tests.waiting import wait_until

EXAMPLE = Path(cronq.__path__[0]).parent / "examples" / "fastapi"
REQUESTS = times(60, full=1000)
AT_ONCE = 20
ONE_EACH = httpx.Limits(max_keepalive_connections=0)
"""A connection that was idle may be closed by uvicorn at the moment when it is used again."""

KILLED_EACH = REQUESTS // times(3, full=5)
"""Requests after which the worker is killed and another one started."""


class Site:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._programs = Programs(directory)

    def start(self, *words: str) -> Process:
        return self._programs.begin("-m", *words)

    def done(self, *words: str) -> None:
        self._programs.done("-m", *words)

    @contextmanager
    def served(self) -> Iterator[str]:
        """The address of the example under uvicorn."""
        port = free_port()
        server = self.start("uvicorn", "shop:app", "--port", str(port), "--no-access-log")
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: answers(url) or server.poll() is not None, seconds=60, what="uvicorn")
            yield url
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=60) in (0, -signal.SIGTERM)

    def select(self, sql: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.directory / "shop.db", timeout=60)) as connection:
            return connection.execute(sql).fetchall()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/jobs/0").status_code == 404
    except httpx.TransportError:
        return False


@pytest.fixture
def site(tmp_path: Path) -> Site:
    shutil.copytree(EXAMPLE, tmp_path / "site", ignore=shutil.ignore_patterns("*.db*", "__pycache__"))
    return Site(tmp_path / "site")


class Storm:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._worker = site.start("cronq", "work", "--jobs", "2")
        self._sent = 0

    async def send(self, url: str) -> list[int]:
        """Send all requests; returns the statuses."""
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(client: httpx.AsyncClient, number: int) -> int:
            async with limit:
                if number % 2:
                    answer = await client.post(f"{url}/views/page{number}")
                else:
                    answer = await client.post(f"{url}/orders", json={"customer": "ann" if number % 10 else ""})
            self._sent += 1
            if self._sent % KILLED_EACH == 0:
                self.end(signal.SIGKILL)
                self._worker = self._site.start("cronq", "work", "--jobs", "2")
            return answer.status_code

        async with httpx.AsyncClient(timeout=120, limits=ONE_EACH) as client:
            return await asyncio.gather(*(one(client, number) for number in range(REQUESTS)))

    def end(self, number: int) -> None:
        self._worker.send_signal(number)
        self._worker.wait(timeout=60)


def test_many_requests_while_workers_are_killed(site: Site) -> None:
    site.done("cronq", "update-schema")
    with site.served() as url:
        storm = Storm(site)
        try:
            statuses = asyncio.run(storm.send(url))
            wait_until(
                lambda: site.select("SELECT count(*) FROM cronq_jobs WHERE finished_at IS NULL") == [(0,)],
                seconds=120,
                what="all jobs have ended",
            )
        finally:
            storm.end(signal.SIGTERM)
    refused = REQUESTS // 10
    assert {status: statuses.count(status) for status in set(statuses)} == {202: REQUESTS - refused, 422: refused}
    assert site.select("SELECT state, count(*) FROM cronq_jobs GROUP BY state") == [("finished", REQUESTS - refused)]
    assert site.select("SELECT count(*), min(confirmed) FROM orders") == [(REQUESTS // 2 - refused, 1)]
