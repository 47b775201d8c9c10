"""The line for openbsd-inetd in docs/operations.md, under the real one: a process a connection, and one for many."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
from collections.abc import Iterator

import pytest

from daemons.databases import free_port
from tests.integration.running import Queue
from tests.integration.serving import JUNK, ask
from tests.project import COMMAND, ROOT, Project
from tests.servers import OPENBSD_INETD, UNSHARE
from tests.waiting import wait_until

pytestmark = pytest.mark.needs("openbsd-inetd")


@pytest.fixture
def queue(project: Project) -> Iterator[Queue]:
    """A queue in an empty project."""
    with Queue(project) as queue:
        yield queue


def documented_line() -> str:
    """The line as the documents have it."""
    found = re.search(r"^127\.0\.0\.1:11137 stream .*$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    assert found
    return found[0]


@contextlib.contextmanager
def inetd_for(queue: Queue, *, kind: str) -> Iterator[tuple[str, int]]:
    """The address where the documented line answers, with the test's port, command and user."""
    port, server = free_port(), queue.directory / "server"
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in queue.project.environment.items())
    server.write_text(f'#!/bin/sh\ncd {queue.directory}\nexec env {variables} {shlex.join(COMMAND)} "$@"\n')
    server.chmod(0o755)
    line = documented_line().replace("11137", str(port)).replace("nowait.600", kind)
    line = line.replace(" cronq /usr/bin/cronq ", f" root {server} ")
    conf = queue.directory / "inetd.conf"
    conf.write_text(f"{line}\n")
    inetd = subprocess.Popen([*UNSHARE, "--kill-child=KILL", str(OPENBSD_INETD), "-i", str(conf)])
    try:
        wait_until(lambda: answers(("127.0.0.1", port)), what="inetd")
        yield "127.0.0.1", port
    finally:
        inetd.kill()
        inetd.wait()


def answers(address: tuple[str, int]) -> bool:
    """Whether a server listens; a probe like this one starts nothing."""
    try:
        return ask(address, b"", half_close=True) == b""
    except ConnectionRefusedError:
        return False


@pytest.mark.parametrize("kind", ["nowait.600", "wait"])
def test_a_job_for_each_connection_and_a_line_for_all_else(queue: Queue, kind: str) -> None:
    jobs = [queue.put("record", {"word": str(number)}) for number in range(3)]
    with inetd_for(queue, kind=kind) as address:
        said = {job: ask(address, b"%d\r\n" % job) for job in jobs}
        assert said == {job: b"OK %d\n" % job for job in jobs}
        assert ask(address, JUNK["a request of the web"]) == b"ERR malformed\n"
        assert ask(address, b"99", half_close=True) == b"ERR 99 unknown\n"
        wait_until(lambda: {row["state"] for row in queue.rows()} == {"finished"}, what="all finished")
    assert sorted(queue.recorded()) == ["0", "1", "2"]
