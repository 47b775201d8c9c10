"""Forks beside threads that enqueue: no child hangs, and each uses connections of its own."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from cronq import Cronq
from cronq.config.loader import Config
from cronq.model.selection import Selection
from tests.scale import engines, times

THREADS = 8
LIMIT = 60
"""Seconds after which a child is taken for hanging."""

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning"),
    pytest.mark.parametrize("config", engines("sqlite", "mysql"), indirect=True),
]


def _in_child(queue: Cronq, number: int) -> int:
    """Enqueue a job and read it; the process's exit status."""
    job = queue.enqueue("t", {"number": number}, check=False)
    found = queue.get(job.id)
    return 0 if found is not None and found.args == {"number": number} else 1


def _fork(queue: Cronq, number: int) -> int:
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            status = _in_child(queue, number)
        finally:
            os._exit(status)
    return pid


def _status(pid: int, since: float | None = None) -> int | str:
    deadline = (since or time.monotonic()) + LIMIT
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            break
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hangs"


def test_forks_beside_threads_that_enqueue(config: Config) -> None:
    # SQLite has mutexes and locks of the process, servers have sockets.
    forks = times(40 if config.sqlite_path() else 24, full=200)  # four at a time
    queue = Cronq(config)
    queue.store.prepare()
    over = threading.Event()
    accepted: list[int] = []

    def enqueue() -> None:
        while not over.wait(0.003):  # the children want to write, too
            accepted.append(queue.enqueue("t", {"number": -1}, check=False).id)
            accepted.extend(job.id for job in queue.enqueue_many([{"task": "t"}] * 2, check=False))
        queue.close()

    threads = [threading.Thread(target=enqueue) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    statuses: list[int | str] = []
    try:
        for start in range(0, forks, 4):
            since = time.monotonic()
            pids = [_fork(queue, start + number) for number in range(4)]
            statuses += [_status(pid, since) for pid in pids]
            if any(statuses):
                break  # the others would hang, too
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert [status for status in statuses if status != 0] == []
    assert len(set(accepted)) == len(accepted)
    assert sum(count for _, _, count in queue.store.jobs.counts()) == len(accepted) + forks
    queue.close()


def _tell(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"1")


def _heed(pipe: tuple[int, int]) -> None:
    os.read(pipe[0], 1)


def test_a_child_goes_on_when_its_parent_has_closed(config: Config) -> None:
    """On SQLite it needs locks of its own: else the parent takes itself for the last one, and removes the log."""
    queue = Cronq(config)
    accepted = [queue.enqueue("t", check=False).id]
    ready, closed = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            queue.enqueue("t", check=False)
            _tell(ready)
            _heed(closed)
            status = _in_child(queue, 7)
        finally:
            os._exit(status)
    _heed(ready)
    accepted.append(queue.enqueue("t", check=False).id)
    queue.close()
    _tell(closed)
    assert _status(pid) == 0
    assert len(queue.store.jobs.ids(Selection())) == len(accepted) + 2
    queue.close()
    for fd in (*ready, *closed):
        os.close(fd)
