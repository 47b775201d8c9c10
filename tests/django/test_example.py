"""The example project: its own tests, and requests under gunicorn with --preload while workers are killed."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from daemons.databases import free_port
from tests.django.sites import ROOT
from tests.scale import times
from tests.waiting import wait_until

EXAMPLE = ROOT / "examples" / "django"
REQUESTS = times(120, full=1000)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of the project, with a database of its own."""
    return {
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.prefix) / 'bin'}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DJANGO_SETTINGS_MODULE": "shop.settings",
        "SHOP_DATABASE": str(tmp_path / "shop.sqlite3"),
    }


def run(environment: dict[str, str], *arguments: str) -> str:
    """Run a program of the project, which must succeed."""
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=EXAMPLE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran
    return ran.stdout


@contextmanager
def started(environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program of the project that stays, as a group of its own."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=EXAMPLE,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)


def test_the_examples_own_tests_pass(environment: dict[str, str]) -> None:
    run(environment, "manage.py", "check")
    run(environment, "manage.py", "test", "-v0")


@pytest.mark.slow
def test_many_requests_under_gunicorn_while_workers_are_killed(environment: dict[str, str]) -> None:
    run(environment, "manage.py", "migrate", "-v0")
    port = free_port()
    server = ("-m", "gunicorn", "--preload", "--workers=2", "--threads=2", f"--bind=127.0.0.1:{port}", "shop.wsgi")
    with started(environment, *server):
        wait_until(lambda: listens(port), seconds=60)
        with ThreadPoolExecutor(4) as clients:
            answers = clients.map(lambda number: order(port, refused=number % 10 == 0), range(REQUESTS))
            for _ in range(2):
                with started(environment, "-m", "cronq", "work", "--jobs", "1") as worker:
                    wait_until(lambda: count(environment, "finished") > 0, seconds=60)
                    worker.kill()
            statuses = list(answers)
    assert statuses.count(200) == REQUESTS * 9 // 10
    assert statuses.count(400) == REQUESTS // 10
    run(environment, "-m", "cronq", "run", "--jobs", "1")
    wait_until(lambda: not count(environment, "running,ready"), seconds=60)
    assert count(environment, "finished") == REQUESTS * 9 // 10
    code = (
        "import django; django.setup()\nfrom orders.models import Order\n"
        "print(Order.objects.count(), Order.objects.filter(confirmations=0).count())"
    )
    assert run(environment, "-c", code).split() == [str(REQUESTS * 9 // 10), "0"]


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


def count(environment: dict[str, str], states: str) -> int:
    """How many jobs are in these states."""
    names = states.split(",")
    sql = f"SELECT count(*) FROM cronq_jobs WHERE state IN ({', '.join('?' * len(names))})"
    with closing(sqlite3.connect(environment["SHOP_DATABASE"], timeout=60)) as connection:
        (found,) = connection.execute(sql, names).fetchone()
    return int(found)
