"""Workers behind a broker: what wakes them, what a broker that dies costs, and what a hostile one can do."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cronq.transports.transport import open_transport
from daemons.brokers import KINDS, Broker, private_broker
from tests import brokers, scale, servers
from tests.frameworks import Programs
from tests.integration.afar import LIMIT, OUTAGE, SOON, AfarQueue, ended
from tests.project import Project
from tests.started import Process
from tests.waiting import readable, wait_until

SLOW = 0.4
"""Seconds of an enqueue that was held up by a broker."""

BY_OTHERS = 5
"""Enqueues that a busy machine may hold up for about as long: a broker that isn't let alone holds up all of twenty."""

LIBRARIES = [
    pytest.param("amqp", "amqp", "kombu", marks=pytest.mark.thorough),
    ("rediss", "redis", "redis"),
    pytest.param("beanstalk", "beanstalk", "greenstalk", marks=pytest.mark.thorough),
    pytest.param("sqs", "sqs", "boto3", marks=pytest.mark.thorough),
]

MESSAGES = {"rabbitmq": 1 << 20, "redis": 1 << 20, "beanstalkd": 60_000, "sqs": 200_000}
"""Bytes of the longest message that each broker takes, or a megabyte."""


@pytest.fixture(params=sorted(KINDS))
def broker(request: pytest.FixtureRequest) -> Broker:
    servers.require(request.param)
    return brokers.shared(request.param)


@pytest.fixture
def queue(broker: Broker, project: Project) -> Iterator[AfarQueue]:
    with AfarQueue(project, broker.named(f"test{uuid4().hex}")) as queue:
        yield queue


def test_an_enqueue_elsewhere_wakes_the_worker_that_serves_the_queue(queue: AfarQueue) -> None:
    workers = queue.idle(("--queue", "one"), ("--queue", "two"))
    for number, name in enumerate(["one", "two", "one", "one", "two", "two"]):
        queue.put("note", {"word": f"word{number}"}, queue=name)
        queue.wait_for_record(f"word{number}", seconds=SOON)
    assert [ended(worker) for worker in workers] == ["", ""]


def test_hostile_messages_leave_a_worker_at_work(queue: AfarQueue, broker: Broker) -> None:
    [worker] = queue.idle()
    sender: Any = open_transport(queue.app.config.wake[0], queue.app.config)
    sender.notify("default", 4_000_000)  # nobody knows this one
    garbage = ["no number", "-1", "9" * 5000, "\N{PILE OF POO}'; --"]
    many = scale.times(30, full=100) if broker.kind == "sqs" else scale.times(300, full=1000)
    for body in [*garbage, "x" * MESSAGES[broker.kind], *["1"] * many]:
        sender.send(sender._connection, body)
    sender.close()
    queue.put("note", {"word": "after"})
    queue.wait_for_record("after", seconds=60)
    assert ended(worker) == ""
    assert [row["attempt"] for row in queue.rows()] == [1]


@pytest.mark.needs("redis")
def test_a_hundred_thousand_wake_ups_are_one_look(project: Project) -> None:
    broker = brokers.shared("redis")
    name = f"test{uuid4().hex}"
    with AfarQueue(project, broker.named(name)) as queue:
        [worker] = queue.idle()
        queue.put("until", {"name": "enough"})
        queue.wait_for_record("began", seconds=SOON)
        before = processor_time(worker.pid)
        with socket.create_connection(("127.0.0.1", broker.port)) as client:
            for _ in range(100):
                client.sendall(b"PUBLISH %s 1\r\n" % name.encode() * 1000)
                answered = 0
                while answered < 1000:
                    answered += client.recv(1 << 16).count(b"\n")
        (queue.directory / "enough").touch()
        queue.put("note", {"word": "after"})
        queue.wait_for_record("after", seconds=60)
        assert processor_time(worker.pid) - before < 1
        assert ended(worker) == ""


def processor_time(pid: int) -> float:
    """Seconds of processor time of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


PRODUCER = """\
import logging, os, socket, sys, threading, warnings
from pathlib import Path
from jobs import note

logging.basicConfig(level="WARNING")
# The thread of a wake-up that was sent may take a moment to end; it holds nothing then.
warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)

def connections():
    for entry in Path("/proc/self/fd").iterdir():
        try:
            with socket.socket(fileno=os.dup(int(entry.name))) as one:
                if one.family == socket.AF_INET and one.getpeername()[1] == int(sys.argv[1]):
                    yield one.getsockname()[1]
        except OSError:
            continue

attempt = sys.argv[2]
note.enqueue(f"{attempt} parent")
before = set(connections())  # none where each message has its own
child = os.fork()
if child == 0:
    note.enqueue(f"{attempt} child")
    sys.exit(bool(before) and not set(connections()) - before)
assert os.waitpid(child, 0)[1] == 0
note.enqueue(f"{attempt} parent again")
assert set(connections()) == before, "the child has broken it"
threads = [threading.Thread(target=note.enqueue, args=(f"{attempt} thread {number}",)) for number in range(5)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_a_producer_may_fork_and_have_threads(queue: AfarQueue, broker: Broker) -> None:
    [worker] = queue.idle()
    queue.project.write("producer.py", PRODUCER)
    elsewhere = {"CRONQ_LOCK_DIR": str(queue.directory / "elsewhere")}
    for attempt in "abcde":
        producer = queue.start_python("producer.py", broker.port, attempt, env=elsewhere)
        _, said = producer.communicate(timeout=60)
        if OUTAGE not in said:  # a broker on a busy machine may miss the second that it has
            break
    assert (producer.returncode, said) == (0, "")
    wait_until(lambda: [line[0] for line in queue.recorded()].count(attempt) == 8, seconds=SOON, what="all are done")
    assert ended(worker) == ""


@pytest.mark.parametrize(("scheme", "extra", "library"), LIBRARIES)
def test_a_library_that_is_missing(scheme: str, extra: str, library: str, project: Project) -> None:
    project.write(f"shadow/{library}.py", "raise ImportError('not here')")
    project.write("cronq.toml", f'database = "sqlite:///cronq.db"\napp = "jobs:queue"\nwake = "{scheme}://host/x"\n')
    project.write(
        "producer.py",
        "import logging\nfrom jobs import add\nlogging.basicConfig()\nprint(*(add.enqueue(1, n).id for n in range(3)))",
    )
    shadow = {"PYTHONPATH": str(project.directory / "shadow")}
    ran = project.cronq("work", env=shadow)
    assert ran == (78, "", f"cronq: wake: {extra} needs the package {library}: install cronq-jobs[{extra}]\n")
    status, printed, said = Programs(project.directory, **shadow).run("producer.py")
    assert (status, printed) == (0, "1 2 3\n")
    assert said.count(f"install cronq-jobs[{extra}]") == 1
    assert len(said.splitlines()) == 1


# A broker that dies, or takes nothing


class Load:
    """A thread that enqueues all the time."""

    def __init__(self, queue: AfarQueue) -> None:
        self._queue = queue
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._enqueue)
        self._taken: list[float] = []
        self.jobs: list[int] = []

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for_more(self, count: int = 20) -> None:
        """Wait until some more jobs are enqueued."""
        there = len(self.jobs)
        wait_until(lambda: len(self.jobs) >= there + count, what="more jobs")

    def was_held_up_once(self) -> None:
        """Only one enqueue took long, and that not for longer than may be."""
        assert self.slowest[0] < 15 * LIMIT  # as much as importing the library takes on a busy machine
        assert self.slowest[BY_OTHERS] < SLOW

    @property
    def slowest(self) -> list[float]:
        """Seconds that enqueues took, from the worst on."""
        return sorted(self._taken, reverse=True)

    def _enqueue(self) -> None:
        app = self._queue.another_app()
        while not self._stop.wait(0.02):
            started = time.monotonic()
            job = app.enqueue("jobs.note", {"word": uuid4().hex}, check=False)
            self._taken.append(time.monotonic() - started)
            self.jobs.append(job.id)
        app.close()


def block(broker: Broker) -> None:
    """Have it take nothing more, as it does when its memory is full; connections stay."""
    if broker.kind == "rabbitmq":
        broker.control("set_vm_memory_high_watermark", "0.0000001")
    elif broker.kind == "redis":
        with socket.create_connection(("127.0.0.1", broker.port)) as client:
            client.sendall(b"CLIENT PAUSE 600000 ALL\r\n")
            assert client.recv(5) == b"+OK\r\n"
    else:
        broker.stop_answering()


BACK = "wake-ups come through"


def is_back(heard: dict[Process, str], worker: Process) -> bool:
    """Whether a worker has said that it is woken again; what it says is kept."""
    assert worker.stderr is not None
    while readable(worker.stderr.fileno()) and (said := os.read(worker.stderr.fileno(), 65536)):
        heard[worker] += said.decode()
    return BACK in heard[worker]


@pytest.mark.slow
@pytest.mark.parametrize("kind", scale.engines("redis", "beanstalkd", of=sorted(KINDS)))
def test_a_broker_that_dies_or_takes_nothing_under_load(kind: str, project: Project) -> None:
    servers.require(kind)
    with private_broker(kind) as broker, AfarQueue(project, broker.url) as queue:
        workers = queue.idle((), ("--priority", "-50"))
        with Load(queue) as load:
            load.wait_for_more()
            broker.kill()
            load.wait_for_more()
            broker.start()
            load.wait_for_more()
        load.was_held_up_once()
        wait_until(queue.ring_from_elsewhere, seconds=200, what="it takes messages again")
        heard = dict.fromkeys(workers, "")
        wait_until(lambda: all(map(partial(is_back, heard), workers)), seconds=150, what="each worker listens again")
        queue.finished(load.jobs)
        with Load(queue) as more:
            more.wait_for_more()
            block(broker)
            more.wait_for_more()
        more.was_held_up_once()
        assert more.slowest[0] > SLOW, "it was blocked"
        said = [heard[worker] + ended(worker) for worker in workers]
        assert all(OUTAGE in words and BACK in words for words in said)
        assert set(Counter(queue.recorded()).values()) == {1}
