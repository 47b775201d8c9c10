"""packaging/xinetd.d under a real xinetd: every caller that the network has in store, and no job lost or run twice."""

from __future__ import annotations

import contextlib
import shlex
import socket
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.integration.running import Queue
from tests.integration.serving import JUNK, answer, ask, reset
from tests.packaging.xinetd import Xinetd
from tests.project import COMMAND, Project
from tests.waiting import wait_until

pytestmark = pytest.mark.needs("xinetd")

TASKS = """\
@queue.task
def loud():
    mark("started")
    pause_until(lambda: (HERE / "go").exists())
    sys.stdout.write("x" * 1_000_000)
    os.write(1, b"y" * 1000)
    mark("ended")
"""

BURST = 200


@contextlib.contextmanager
def xinetd_for(queue: Queue, file: str = "cronq", *options: str) -> Iterator[Xinetd]:
    """The packaged file with the queue's command in place of /usr/bin/cronq."""
    place = queue.directory / "xinetd"
    place.mkdir()
    server = place / "cronq"
    given = queue.project.environment | {"CRONQ_CONFIG": str(queue.directory / "cronq.toml")}
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in given.items())
    server.write_text(f'#!/bin/sh\nexec env {variables} {shlex.join(COMMAND)} "$@" {shlex.join(options)}\n')
    server.chmod(0o755)
    with Xinetd(place, server=server, home=queue.project.home, file=file) as xinetd:
        yield xinetd


@pytest.fixture
def queue(project: Project) -> Iterator[Queue]:
    """A queue in an empty project."""
    with Queue(project) as queue:
        yield queue


def address(xinetd: Xinetd) -> tuple[str, int]:
    return "127.0.0.1", xinetd.port


@pytest.mark.parametrize("file", ["cronq", "cronq-listen"])
def test_every_kind_of_caller(queue: Queue, file: str) -> None:
    queue.tasks(TASKS)
    lf, crlf, eof = (queue.put("record", {"word": word}) for word in ("lf", "crlf", "eof"))
    loud = queue.put("loud")
    with xinetd_for(queue, file) as xinetd:
        silent, slow, huge = xinetd.connect(), xinetd.connect(), xinetd.connect()
        with silent, slow, huge:
            slow.sendall(b"1")
            with contextlib.suppress(ConnectionError):
                huge.sendall(b"1" * 1_000_000)
            reset(xinetd.connect())
            xinetd.connect().close()
            assert ask(address(xinetd), b"%d\n" % lf) == b"OK %d\n" % lf
            assert ask(address(xinetd), b"%d\r\n" % crlf) == b"OK %d\n" % crlf
            assert ask(address(xinetd), b"%d" % eof, half_close=True) == b"OK %d\n" % eof
            with xinetd.connect() as caller:
                caller.sendall(b"%d\n" % loud)
                assert caller.recv(64) == b"OK %d\n" % loud
                queue.wait_for_record("started")
                reset(caller)
            queue.project.write("go", "")
            said = {what: ask(address(xinetd), junk) for what, junk in JUNK.items()}
            assert said == dict.fromkeys(JUNK, b"ERR malformed\n")
            assert (answer(silent), answer(slow)) == (b"ERR timeout\n", b"ERR timeout\n")
        wait_until(lambda: {row["state"] for row in queue.rows()} == {"finished"}, what="all finished")
    assert set(queue.recorded()) == {"lf", "crlf", "eof", "started", "ended"}


def test_a_burst_loses_nothing_and_runs_nothing_twice(queue: Queue) -> None:
    jobs = [queue.put("record", {"word": str(number)}) for number in range(BURST)]
    said: Counter[bytes] = Counter()
    start = threading.Barrier(20)

    def call(some: list[int]) -> None:
        start.wait()
        for job in some:
            try:
                said[ask(address(xinetd), b"%d\n" % job).replace(b"%d" % job, b"N")] += 1
            except OSError:
                said[b"refused"] += 1

    with xinetd_for(queue) as xinetd:
        callers = [threading.Thread(target=call, args=(jobs[number::20],)) for number in range(20)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        wait_until(
            lambda: not queue.sql("SELECT 1 FROM cronq_jobs WHERE state = 'running'"), seconds=60, what="none running"
        )
        assert set(said) <= {b"OK N\n", b"", b"refused"}, said
        assert said[b"OK N\n"] >= 16, said
        queue.run_silently()
    assert Counter(queue.recorded()) == Counter(str(number) for number in range(BURST))
    assert {row["state"] for row in queue.rows()} == {"finished"}
    assert queue.settled()


def test_one_process_for_many_ends_when_idle_and_the_next_takes_over(queue: Queue) -> None:
    jobs = [queue.put("record", {"word": str(number)}) for number in range(4)]
    with xinetd_for(queue, "cronq-listen", "--idle-exit", "0.3s") as xinetd:
        for pair in (jobs[:2], jobs[2:]):
            for job in pair:
                assert ask(address(xinetd), b"%d\n" % job) == b"OK %d\n" % job
            wait_until(lambda: not queue.sql("SELECT * FROM cronq_workers"), what="the end of the process")
    assert sorted(queue.recorded()) == ["0", "1", "2", "3"]


def test_an_error_is_nothing_for_the_caller(queue: Queue) -> None:
    queue.put("nothing")
    queue.project.write("cronq.toml", "nonsense = '/secret'")
    with xinetd_for(queue) as xinetd:
        assert ask(address(xinetd), b"1\n") == b"ERR unavailable\n"
        with socket.create_connection(address(xinetd)) as caller:
            caller.shutdown(socket.SHUT_WR)
            assert answer(caller) == b""
