"""packaging/systemd/cronq-web.service: a real systemd serves the pages on a Unix socket."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.booted import Booted
from tests.waiting import wait_until

pytestmark = [pytest.mark.needs("systemd-boot"), pytest.mark.slow]

UNIT = "cronq-web.service"
SOCKET = "/run/cronq-web/web.sock"
SIGN_IN = """\
[web]
hosts = ["ops.example.org"]
auth = "header"
proxies = ["unix"]
act = ["ann"]
"""
TRY = """\
import socket, sys
with socket.socket(socket.AF_UNIX) as one:
    one.connect(sys.argv[1])
"""


def answer(machine: Booted, path: str, *headers: str) -> str:
    """What the socket answers, "" while nothing listens."""
    lines = "".join(f"{line}\r\n" for line in (f"GET {path} HTTP/1.0", "Host: ops.example.org", *headers))
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(str(machine.path(SOCKET)))
            client.sendall(f"{lines}\r\n".encode())
            return client.makefile("rb").read().decode()
    except OSError:
        return ""


@pytest.fixture(scope="module")
def machine() -> Iterator[Booted]:
    """One for all tests, with a job."""
    place = tempfile.TemporaryDirectory(prefix="cronq-packaging-", ignore_cleanup_errors=True)
    with place as directory, Booted(Path(directory)) as booted:
        booted.write("/etc/cronq/cronq.toml", SIGN_IN)
        booted.write(f"/etc/systemd/system/{UNIT}.d/quick.conf", "[Service]\nRestartSec=10ms\n")
        booted.systemctl("daemon-reload")
        booted.cronq("enqueue", "--queue", "mail", "--", "true")
        yield booted


@pytest.fixture
def pages(machine: Booted) -> Booted:
    """The machine, whose pages answer."""
    machine.systemctl("start", UNIT)
    wait_until(lambda: answer(machine, "/cronq/health").endswith("ok\n"), seconds=60, what="the pages")
    return machine


def test_pages_are_served_to_the_proxys_group_only(pages: Booted) -> None:
    assert answer(pages, "/cronq/").startswith("HTTP/1.0 403")
    page = answer(pages, "/cronq/queues", "X-Remote-User: ann")
    assert page.startswith("HTTP/1.0 200")
    assert "mail" in page
    assert pages.done("stat", "-c", "%U:%G %a", "/run/cronq-web", SOCKET).splitlines() == [
        "cronq:cronq 755",
        "cronq:cronq 660",
    ]
    assert pages.run("/opt/cronq/bin/python", "-c", TRY, SOCKET, user="www-data").status != 0
    pages.done("usermod", "-aG", "cronq", "www-data")
    pages.done("/opt/cronq/bin/python", "-c", TRY, SOCKET, user="www-data")


def test_pages_come_back_when_their_server_is_killed_and_go_when_it_is_stopped(pages: Booted) -> None:
    first, restarts = pages.property(UNIT, "MainPID"), int(pages.property(UNIT, "NRestarts"))
    pages.done("kill", "-KILL", first)
    wait_until(lambda: answer(pages, "/cronq/health").endswith("ok\n"), seconds=60, what="the pages again")
    assert pages.property(UNIT, "MainPID") not in (first, "0")
    assert pages.property(UNIT, "NRestarts") == str(restarts + 1)
    pages.systemctl("stop", UNIT)
    assert pages.property(UNIT, "Result") == "success"
    assert pages.property(UNIT, "ExecMainStatus") == "0"
    assert not pages.path(SOCKET).exists()


def test_server_of_the_pages_may_write_where_the_queue_is_and_nowhere_else(pages: Booted) -> None:
    pid = pages.property(UNIT, "MainPID")
    status = pages.path(f"/proc/{pid}/status").read_text()
    found = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert found["NoNewPrivs"] == "1"
    assert found["Seccomp"] == "2"
    assert {found[name] for name in ("CapEff", "CapPrm", "CapBnd")} == {"0" * 16}
    assert found["Uid"].split()[0] == pages.done("id", "-u", "cronq")
    mounts = pages.path(f"/proc/{pid}/mounts").read_text().splitlines()
    options = {line.split()[1]: line.split()[3].split(",")[0] for line in mounts}
    assert options["/"] == "ro"
    assert {options[place] for place in ("/var/lib/cronq", "/run/cronq-web")} == {"rw"}
    assert options["/root"] == options["/home"] == "ro"
