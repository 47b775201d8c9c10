"""Clients that connect and say little, in numbers: the server answers the others, and stays within bounds.

SLOW_CONNECTIONS=10000 for the full number.
"""

from __future__ import annotations

import http.client
import os
import resource
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from cronq.config.loader import Config
from cronq.web.connections import MOST
from tests.waiting import wait_until
from tests.web.browsing import started
from tests.web.test_server import get

SLOW = int(os.environ.get("SLOW_CONNECTIONS", "800"))
HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "
BODY = b"POST /act/retry HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n"
UNREAD = b"GET /static/htmx.min.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
QUICK = "import sys; from cronq.web import connections as c; c.{}; from cronq.cli import main; sys.exit(main())"
"""Starts cronq with a shorter patience."""


class Crowd:
    """Connections that are held open, fed a byte in each round, and made again when the server closes them."""

    def __init__(self, place: tuple[str, int], number: int, starts: tuple[bytes, ...]) -> None:
        self.rounds = 0
        self.closed = 0
        self._place, self._starts = place, starts
        self._held: list[socket.socket | None] = [None] * number
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._press)

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)
        for one in self._held:
            if one is not None:
                one.close()

    def _press(self) -> None:
        while not self._over.wait(1 if self.rounds else 0):
            for number, one in enumerate(self._held):
                if self._over.is_set():
                    return
                self._held[number] = self._fed(one) or self._connected(self._starts[number % len(self._starts)])
            self.rounds += 1

    def _fed(self, one: socket.socket | None) -> socket.socket | None:
        if one is None:
            return None
        try:
            one.send(b"x")
        except BlockingIOError:
            return one
        except OSError:
            self.closed += 1
            one.close()
            return None
        return one

    def _connected(self, start: bytes) -> socket.socket | None:
        one = socket.socket()
        one.settimeout(0.2)
        with suppress(OSError):
            one.connect(self._place)
            one.setblocking(False)
            one.send(start)
            return one
        one.close()
        return None


class Size(NamedTuple):
    """What a process has."""

    descriptors: int
    megabytes: int


def size(pid: int) -> Size:
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = int(status.partition("VmRSS:")[2].split()[0])
    return Size(len(list(Path(f"/proc/{pid}/fd").iterdir())), kilobytes // 1024)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """As many open files as this test needs."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, max(before, SLOW + 1000)), most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


def place(address: str) -> tuple[str, int]:
    parts = urlsplit(address)
    return parts.hostname or "", parts.port or 0


@pytest.mark.slow
@pytest.mark.usefixtures("store", "many_descriptors")
def test_a_crowd_of_slow_connections_keeps_no_visitor_out_and_fills_no_memory(config: Config) -> None:
    full_body = BODY + b"x" * 150_000
    with started(Path(config.sqlite_path() or "")) as (address, pid):
        assert get(address, "/health") == 200
        before = size(pid)
        with Crowd(place(address), SLOW, (b"", HEAD, BODY, full_body, UNREAD)) as crowd:
            largest, longest, asked = before, 0.0, 0
            deadline = time.monotonic() + 600
            while (crowd.rounds < 2 or asked < 20) and time.monotonic() < deadline:
                began = time.monotonic()
                assert get(address, "/health") == 200
                longest = max(longest, time.monotonic() - began)
                largest = Size(*map(max, largest, size(pid)))
                asked += 1
            assert crowd.rounds > 1
        told = f"{SLOW} connections: {asked} answers, the slowest after {longest:.2f} s, {before} grew to {largest}"
    assert longest < 50, told
    assert largest.descriptors < before.descriptors + MOST + 100, told
    assert largest.megabytes < before.megabytes + 256, told


DRIPS = {HEAD: b"x", BODY: b"x", b"\r\n": b"\r\n", b"": b""}
"""How a request begins, and what comes of it again and again."""


@pytest.mark.usefixtures("store")
def test_a_request_that_comes_byte_by_byte_is_given_up(config: Config) -> None:
    with started(Path(config.sqlite_path() or ""), python=("-c", QUICK.format("REQUEST_SECONDS = 3.0"))) as (
        address,
        _,
    ):
        with ExitStack() as opened:
            slow = {start: opened.enter_context(socket.create_connection(place(address))) for start in DRIPS}
            for start, one in slow.items():
                one.sendall(start)

            def all_are_closed() -> bool:
                for start in [start for start, one in slow.items() if is_closed(one, DRIPS[start])]:
                    del slow[start]
                return not slow

            wait_until(all_are_closed, seconds=60, what="the end of the connections")
        assert get(address, "/health") == 200


def is_closed(one: socket.socket, drop: bytes) -> bool:
    """Send a drop more, and see whether the server has gone."""
    one.settimeout(0.1)
    try:
        one.sendall(drop)
        return one.recv(1000) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@pytest.mark.usefixtures("store")
def test_an_answer_that_is_not_read_is_given_up(config: Config) -> None:
    with started(Path(config.sqlite_path() or ""), python=("-c", QUICK.format("ANSWER_SECONDS = 4.0"))) as (
        address,
        pid,
    ):
        before = size(pid).descriptors
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            deaf.connect(place(address))
            deaf.sendall(UNREAD * 150)
            wait_until(lambda: size(pid).descriptors > before, what="the connection")
            wait_until(lambda: size(pid).descriptors <= before, seconds=60, what="the end of the connection")
        assert get(address, "/health") == 200


IDLE = 1.2
"""Seconds between requests: an idle server looks once a second for those that are late."""


@pytest.mark.usefixtures("store")
def test_a_connection_that_is_kept_alive_has_its_time_anew_after_each_answer(config: Config) -> None:
    with started(Path(config.sqlite_path() or ""), python=("-c", QUICK.format("REQUEST_SECONDS = 3.0"))) as (
        address,
        _,
    ):
        connection = http.client.HTTPConnection(*place(address), timeout=60)
        until = time.monotonic() + 5
        while time.monotonic() < until:
            connection.request("GET", "/health")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"ok\n")
            closed, _, _ = select.select([connection.sock], [], [], IDLE)
            assert not closed, "the server has closed the connection"
        connection.close()
