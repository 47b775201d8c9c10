"""`wake = "tcp://…"`: the job starts at once; nothing that the other end does delays the caller."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronq import Cronq
from cronq.config.loader import Config, from_database
from cronq.errors import ConfigError, Unavailable
from cronq.transports import inetd
from cronq.transports.notifier import Notifier
from cronq.transports.transport import open_transport
from tests.integration.running import Queue
from tests.integration.serving import Listening, reset
from tests.waiting import wait_until

Behaviour = Callable[[socket.socket], None]


@contextlib.contextmanager
def peer(behave: Behaviour, *, backlog: int = 64) -> Iterator[tuple[str, list[bytes]]]:
    """A server that behaves so to each connection; its URL, and what it was sent."""
    heard: list[bytes] = []
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                caller = door.accept()[0]
                with caller, contextlib.suppress(OSError):
                    caller.settimeout(10)
                    heard.append(caller.recv(100))
                    behave(caller)

    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as door:
        door.settimeout(0.05)
        server = threading.Thread(target=serve)
        server.start()
        try:
            yield f"tcp://127.0.0.1:{door.getsockname()[1]}", heard
        finally:
            stop.set()
            server.join()


def says(data: bytes) -> Behaviour:
    def behave(caller: socket.socket) -> None:
        caller.settimeout(2)
        caller.sendall(data)

    return behave


def keeps_silent(caller: socket.socket) -> None:
    time.sleep(1.2)
    del caller


def drips(caller: socket.socket) -> None:
    for byte in b"OK 1 and so on":
        caller.sendall(bytes((byte,)))
        time.sleep(0.1)


@contextlib.contextmanager
def saturated() -> Iterator[str]:
    """A port whose queue of connections is full: no program accepts, the kernel drops new ones."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as door:
        waiting = [socket.socket() for _ in range(3)]
        for caller in waiting:
            caller.setblocking(False)
            caller.connect_ex(door.getsockname())
        yield f"tcp://127.0.0.1:{door.getsockname()[1]}"
        for caller in waiting:
            caller.close()


TRIES = 5
"""The quickest of so many counts: others use this machine too."""


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it matters what is said, who answers on a busy machine has more than a second for it."""
    for name in ("inetd", "notifier"):
        monkeypatch.setattr(f"cronq.transports.{name}.LIMIT", 30.0)


def config_with(tmp_path: Path, *urls: str) -> Config:
    return from_database(f"sqlite:///{tmp_path}/queue.db").with_values("the test", wake=urls)


def seconds_of(action: Callable[[], object]) -> float:
    started = time.monotonic()
    action()
    return time.monotonic() - started


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("said", [b"OK 7\n", b"ERR 7 running\n", b"ERR 7 busy\n", b"ERR malformed\n"])
def test_any_answer_will_do(tmp_path: Path, said: bytes) -> None:
    with peer(says(said)) as (url, heard):
        open_transport(url, config_with(tmp_path)).notify("default", 7)
    assert heard == [b"7\n"]


@pytest.mark.parametrize(
    "behave",
    [says(b""), says(b"hello\n"), says(b"OK"), says(b"x" * 1_000_000), says(b"OK " + b"7" * 200), reset, drips],
    ids=["closes", "garbage", "no end", "a megabyte", "a long line", "resets", "drips"],
)
def test_anything_else_is_no_answer(tmp_path: Path, behave: Behaviour) -> None:
    with peer(behave) as (url, _):
        transport = open_transport(url, config_with(tmp_path))
        with pytest.raises(Unavailable):
            transport.notify("default", 7)


@settings(max_examples=60, deadline=None)
@given(said=st.binary(max_size=300))
def test_no_answer_does_any_harm(said: bytes) -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(said)
        there.shutdown(socket.SHUT_WR)
        with contextlib.suppress(Unavailable):
            inetd.check_answer("tcp://x:1", inetd.read_answer(here, time.monotonic() + 1))
            first = said.partition(b"\n")[0]
            assert first.startswith((b"OK ", b"ERR "))


@pytest.mark.parametrize("what", ["silent", "saturated", "black hole", "down", "no such name"])
def test_enqueue_hardly_notices(tmp_path: Path, what: str) -> None:
    places: dict[str, contextlib.AbstractContextManager[str]] = {
        "saturated": saturated(),
        "black hole": contextlib.nullcontext("tcp://10.255.255.1:11137"),
        "down": contextlib.nullcontext("tcp://127.0.0.1:1"),
        "no such name": contextlib.nullcontext("tcp://no-such-host.invalid:11137"),
    }
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(peer(keeps_silent))[0] if what == "silent" else stack.enter_context(places[what])
        for number in range(1, TRIES + 1):
            queue = stack.enter_context(Cronq(config_with(tmp_path, url)))
            queue.store.prepare()
            first = seconds_of(lambda: queue.enqueue("task", check=False))  # noqa: B023
            second = seconds_of(lambda: queue.enqueue("task", check=False))  # noqa: B023
            third = seconds_of(lambda: queue.enqueue_many([{"task": "task"}] * 50, check=False))  # noqa: B023
            assert queue.store.jobs.backlog() == 52 * number
            if first < 1.5 and max(second, third) < 0.3:
                return
        pytest.fail(f"the last enqueues took {first} s, {second} s and {third} s")


@pytest.mark.usefixtures("unhurried")
def test_the_first_that_answers_takes_it(tmp_path: Path) -> None:
    with peer(says(b"OK 7\n")) as (one, first), peer(says(b"OK 7\n")) as (two, second):
        Notifier(config_with(tmp_path, "tcp://127.0.0.1:1", one, two)).notify([("default", 7), ("default", 8)])
    assert (first, second) == ([b"7\n", b"8\n"], [])


def test_one_in_a_black_hole_leaves_time_for_the_next(tmp_path: Path) -> None:
    with saturated() as hole, peer(says(b"OK 7\n")) as (url, heard):
        for _ in range(TRIES):
            heard.clear()
            notifier = Notifier(config_with(tmp_path, hole, url))
            first, second = (seconds_of(lambda: notifier.notify([("default", n)])) for n in (7, 8))  # noqa: B023
            if first < 1.5 and second < 0.3 and heard == [b"7\n", b"8\n"]:
                return
    pytest.fail(f"it took {first} s and {second} s; {heard}")


def test_slow_answers_to_many_jobs_take_no_longer_than_one(tmp_path: Path) -> None:
    def slowly(caller: socket.socket) -> None:
        time.sleep(0.3)
        caller.sendall(b"OK 7\n")

    with peer(slowly) as (url, heard):
        for _ in range(TRIES):
            heard.clear()
            notifier = Notifier(config_with(tmp_path, url))
            took = seconds_of(lambda: notifier.notify([("default", number) for number in range(50)]))  # noqa: B023
            if took < 2 and 1 < len(heard) < 8:
                return
    pytest.fail(f"it took {took} s for {len(heard)} jobs")


@pytest.mark.usefixtures("unhurried")
def test_only_what_is_due_and_new_is_rung_for(tmp_path: Path) -> None:
    with peer(says(b"OK 1\n")) as (url, heard), Cronq(config_with(tmp_path, url)) as queue:
        due = queue.enqueue("task", check=False, key="k", unique=True)
        queue.enqueue("task", check=False, key="k", unique=True)
        queue.enqueue("task", check=False, at="+1h")
        last = queue.enqueue("task", check=False, at="2020-01-01T00:00:00Z")
    assert heard == [b"%d\n" % due.id, b"%d\n" % last.id]


@pytest.mark.usefixtures("unhurried")
def test_a_name_is_looked_up(tmp_path: Path) -> None:
    with peer(says(b"OK 7\n")) as (url, heard):
        open_transport(url.replace("127.0.0.1", "localhost"), config_with(tmp_path)).notify("default", 7)
    assert heard == [b"7\n"]


@pytest.mark.parametrize(
    "url", ["tcp://host", "tcp://:1", "tcp://host:0", "tcp://host:99999", "tcp://a:b@h:1", "unix://x"]
)
def test_urls_that_lead_nowhere(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="expected tcp://host:port or unix:///path"):
        open_transport(url, config_with(tmp_path))


def test_from_enqueue_to_a_job_that_runs(queue: Queue, tmp_path: Path) -> None:
    path = str(tmp_path / "door")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen()
        queue.tasks("", f'wake = ["tcp://127.0.0.1:1", "unix://{path}"]\n')
        with Listening(queue.project, door=door.dup()):
            first = queue.put("record", {"word": "by the API"})
            second = queue.project.enqueue("jobs.record", "word=by the command")
            wait_until(lambda: len(queue.recorded()) == 2, what="both jobs")
            wait_until(lambda: {queue.state(first), queue.state(second)} == {"finished"}, what="both finished")


def test_nobody_at_the_port_and_the_next_run_does_it(queue: Queue) -> None:
    queue.tasks("", 'wake = "tcp://127.0.0.1:1"\n')
    ran = queue.project.cronq("enqueue", "jobs.record", "word=later")
    assert (ran.status, ran.stderr) == (0, "")
    queue.run_silently()
    assert queue.recorded() == ["later"]
