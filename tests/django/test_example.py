"""The example project: its own tests, and requests under gunicorn with --preload while workers are killed."""

from __future__ import annotations

import http.client
import socket
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from daemons.databases import free_port
from tests.django.sites import ROOT
from tests.frameworks import Programs
from tests.scale import times
from tests.started import Process
from tests.waiting import wait_until

EXAMPLE = ROOT / "examples" / "django"
REQUESTS = times(60, full=1000)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Of the project, as its settings find it."""
    return tmp_path / "shop.sqlite3"


@pytest.fixture
def programs(database: Path) -> Programs:
    """Python in the project."""
    return Programs(
        EXAMPLE,
        HOME=str(database.parent),
        PYTHONDONTWRITEBYTECODE="1",
        DJANGO_SETTINGS_MODULE="shop.settings",
        SHOP_DATABASE=str(database),
    )


def test_the_examples_own_tests_pass(programs: Programs) -> None:
    assert programs.anew("manage.py", "check").status == 0
    programs.done("manage.py", "test", "-v0")


def test_many_requests_under_gunicorn_while_workers_are_killed(programs: Programs, database: Path) -> None:
    programs.done("manage.py", "migrate", "-v0")
    port = free_port()
    server = ("-m", "gunicorn", "--preload", "--workers=2", "--threads=2", f"--bind=127.0.0.1:{port}", "shop.wsgi")
    with started(programs, *server):
        wait_until(lambda: listens(port), seconds=60)
        with ThreadPoolExecutor(4) as clients:
            answers = clients.map(lambda number: order(port, refused=number % 10 == 0), range(REQUESTS))
            for _ in range(2):
                with started(programs, "-m", "cronq", "work", "--jobs", "1") as worker:
                    wait_until(lambda: count(database, "finished") > 0, seconds=60)
                    worker.kill()
            statuses = list(answers)
    assert statuses.count(200) == REQUESTS * 9 // 10
    assert statuses.count(400) == REQUESTS // 10
    programs.done("-m", "cronq", "run", "--jobs", "1")
    wait_until(lambda: not count(database, "running,ready"), seconds=60)
    assert count(database, "finished") == REQUESTS * 9 // 10
    code = (
        "import django; django.setup()\nfrom orders.models import Order\n"
        "print(Order.objects.count(), Order.objects.filter(confirmations=0).count())"
    )
    assert programs.done("-c", code).split() == [str(REQUESTS * 9 // 10), "0"]


@contextmanager
def started(programs: Programs, *arguments: str) -> Iterator[Process]:
    """A program of the project that stays until the block ends."""
    with programs.begin(*arguments) as process:
        try:
            yield process
        finally:
            process.terminate()


def listens(port: int) -> bool:
    """Whether something takes connections there."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def order(port: int, *, refused: bool) -> int:
    """Place an order; returns the status of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = "mail=nobody" if refused else "mail=ann%40example.org"
    connection.request("POST", "/orders/", body, {"Content-Type": "application/x-www-form-urlencoded"})
    status = connection.getresponse().status
    connection.close()
    return status


def count(database: Path, states: str) -> int:
    """How many jobs are in these states."""
    names = states.split(",")
    sql = f"SELECT count(*) FROM cronq_jobs WHERE state IN ({', '.join('?' * len(names))})"
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        (found,) = connection.execute(sql, names).fetchone()
    return int(found)
