"""serve-inetd on a listening socket: many callers at once, none of whom waits for another, and a clean hand-over."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from pathlib import Path

import pytest

from daemons.databases import free_port
from daemons.programs import program
from tests.integration.running import Queue
from tests.integration.serving import JUNK, Listening, answer, ask, reset
from tests.project import COMMAND
from tests.waiting import wait_until

TASKS = """\
@queue.task
def slow(word=""):
    mark("started", word)
    pause_until(lambda: (HERE / "go").exists())
    mark("ended", word)


@queue.task
def die():
    os._exit(3)
"""


def test_many_jobs_from_one_process(queue: Queue) -> None:
    jobs = [queue.put("record", {"word": str(number)}) for number in range(20)]
    with Listening(queue.project) as server:
        said = {job: ask(server.address, b"%d\n" % job) for job in jobs}
        assert said == {job: b"OK %d\n" % job for job in jobs}
        wait_until(lambda: {row["state"] for row in queue.rows()} == {"finished"}, what="all finished")
        [(kind,)] = queue.sql("SELECT kind FROM cronq_workers")
        assert kind == "serve-inetd"
        server.process.terminate()
        assert server.ended() == 0
    assert sorted(queue.recorded(), key=int) == [str(number) for number in range(20)]
    assert queue.settled()
    assert queue.sql("SELECT * FROM cronq_workers") == []


def test_junk_is_malformed_and_nothing_else_is_said(queue: Queue) -> None:
    queue.put("nothing")
    with Listening(queue.project) as server:
        said = {what: ask(server.address, junk) for what, junk in JUNK.items()}
        assert said == dict.fromkeys(JUNK, b"ERR malformed\n")
        assert ask(server.address, b"", half_close=True) == b""
        assert ask(server.address, b"1\r\n") == b"OK 1\n"


def test_hundreds_of_bad_callers_delay_nobody(queue: Queue) -> None:
    jobs = [queue.put("nothing") for _ in range(5)]
    with Listening(queue.project) as server:
        assert ask(server.address, b"%d\n" % jobs[0]) == b"OK %d\n" % jobs[0]
        silent = [server.connect() for _ in range(400)]
        for caller in silent[:100]:
            caller.sendall(b"1")
        for caller in silent[100:150]:
            caller.sendall(b"x" * 5000)
        for caller in silent[150:200]:
            reset(caller)
        started = time.monotonic()
        for job in jobs[1:]:
            assert ask(server.address, b"%d\n" % job) == b"OK %d\n" % job
        assert time.monotonic() - started < 18  # a silent caller has five seconds, and these are four jobs
        said = {answer(caller) for caller in silent[200:]}
        assert said <= {b"", b"ERR timeout\n"}
        for caller in silent[:150] + silent[200:]:
            caller.close()
        wait_until(lambda: {row["state"] for row in queue.rows()} == {"finished"}, what="all finished")


def test_busy_children_get_help_up_to_a_limit_and_what_is_too_much_stays_ready(queue: Queue) -> None:
    queue.tasks(TASKS, "jobs = 1\n")
    jobs = [queue.put("slow", {"word": str(number)}) for number in range(4)]
    with Listening(queue.project, "--jobs", "3") as server:
        said = [ask(server.address, b"%d\n" % job) for job in jobs]
        assert said == [*(b"OK %d\n" % job for job in jobs[:3]), b"ERR %d busy\n" % jobs[3]]
        wait_until(lambda: len(queue.recorded()) == 3, what="three at once")
        assert queue.state(jobs[3]) == "ready"
        queue.project.write("go", "")
        wait_until(lambda: queue.state(jobs[0]) == "finished", what="the first finished")
        wait_until(lambda: ask(server.address, b"%d\n" % jobs[3]) == b"OK %d\n" % jobs[3], what="room again")
        wait_until(lambda: queue.state(jobs[3]) == "finished", what="the last finished")


def test_a_child_that_dies_is_replaced(queue: Queue) -> None:
    queue.tasks(TASKS, "jobs = 1\n")
    dead, alive = queue.put("die"), queue.put("record", {"word": "alive"})
    with Listening(queue.project, "--jobs", "1") as server:
        assert ask(server.address, b"%d\n" % dead) == b"OK %d\n" % dead
        wait_until(lambda: queue.state(dead) == "retrying", what="the crash")
        assert ask(server.address, b"%d\n" % alive) == b"OK %d\n" % alive
        wait_until(lambda: queue.recorded() == ["alive"], what="the next job")


def test_one_process_hands_over_to_the_next_without_losing_a_caller(queue: Queue) -> None:
    jobs = [queue.put("record", {"word": str(number)}) for number in range(6)]
    late: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as door, contextlib.ExitStack() as connected:
        for number in range(0, 6, 2):
            early = asking(door, jobs[number])
            with early, Listening(queue.project, "--idle-exit", "0.2s", door=door.dup()) as server:
                assert answer(early) == b"OK %d\n" % jobs[number]
                late.append(connected.enter_context(asking(door, jobs[number + 1])))
                assert server.ended() == 0
        with Listening(queue.project, "--idle-exit", "0.2s", door=door.dup()) as server:
            assert [answer(caller) for caller in late] == [b"OK %d\n" % job for job in jobs[1::2]]
            assert server.ended() == 0
    assert sorted(queue.recorded()) == [str(number) for number in range(6)]
    assert queue.settled()


def asking(door: socket.socket, job: int) -> socket.socket:
    """A connection that asks for a job; who serves it may be on the way out, and then the next one does."""
    caller = socket.create_connection(door.getsockname(), timeout=60)
    caller.sendall(b"%d\n" % job)
    return caller


def test_term_lets_jobs_end_and_takes_no_more(queue: Queue) -> None:
    queue.tasks(TASKS)
    first, second = queue.put("slow", {"word": "1"}), queue.put("nothing")
    with Listening(queue.project) as server:
        assert ask(server.address, b"%d\n" % first) == b"OK %d\n" % first
        queue.wait_for_record("started")
        with server.connect() as silent:
            assert ask(server.address, b"99\n") == b"ERR 99 unknown\n"  # so the silent one is in, too
            server.process.terminate()
            assert answer(silent) == b""
        with server.connect() as waiting:
            waiting.sendall(b"%d\n" % second)
            queue.project.write("go", "")
            assert server.ended() == 0
            assert (queue.state(first), queue.state(second)) == ("finished", "ready")
            with Listening(queue.project, door=server.door):
                assert answer(waiting) == b"OK %d\n" % second


def test_who_waits_while_the_app_is_broken_hears_so_once(queue: Queue) -> None:
    job = queue.put("nothing")
    queue.project.write("jobs.py", "raise RuntimeError('secret')")
    with socket.create_server(("127.0.0.1", 0), backlog=64) as door:
        callers = [socket.create_connection(door.getsockname(), timeout=60) for _ in range(3)]
        for caller in callers:
            caller.sendall(b"%d\n" % job)
        with Listening(queue.project, door=door.dup()) as server:
            assert [answer(caller) for caller in callers] == [b"ERR unavailable\n"] * 3
            assert server.ended() == 78
        for caller in callers:
            caller.close()
    assert queue.state(job) == "ready"


def test_a_socket_in_the_file_system(queue: Queue, tmp_path: Path) -> None:
    job = queue.put("nothing")
    path = str(tmp_path / "door")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen()
        with Listening(queue.project, door=door.dup()):
            assert ask(path, b"%d\n" % job) == b"OK %d\n" % job


@pytest.mark.needs("systemd-socket-activate")
def test_sockets_from_systemd(queue: Queue, tmp_path: Path) -> None:
    jobs = [queue.put("record", {"word": str(number)}) for number in range(3)]
    port, path = free_port(), str(tmp_path / "door")
    activate = [str(program("systemd-socket-activate")), "-l", f"127.0.0.1:{port}", "-l", path]
    env = queue.project.environment
    settings = [f"--setenv={name}={value}" for name, value in env.items()]
    command = [*activate, *settings, *COMMAND, "serve-inetd", "--idle-exit", "5s"]
    process = subprocess.Popen(command, cwd=queue.directory, env=env, stderr=subprocess.PIPE, text=True)
    try:
        # The file is there before the socket listens.
        assert wait_until(lambda: asked(path, b"%d\n" % jobs[0]), what="an answer") == b"OK %d\n" % jobs[0]
        assert ask(("127.0.0.1", port), b"%d\n" % jobs[1]) == b"OK %d\n" % jobs[1]
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.communicate()
    assert sorted(queue.recorded()) == ["0", "1"]


@pytest.mark.needs("systemd-socket-activate")
def test_a_connection_from_systemd(queue: Queue) -> None:
    job, port = queue.put("record", {"word": "accepted"}), free_port()
    env = queue.project.environment
    settings = [f"--setenv={name}={value}" for name, value in env.items()]
    activate = [str(program("systemd-socket-activate")), "-l", f"127.0.0.1:{port}", "--accept", "--inetd", *settings]
    process = subprocess.Popen([*activate, *COMMAND, "serve-inetd"], cwd=queue.directory, env=env)
    try:
        said = wait_until(lambda: asked(("127.0.0.1", port), b"%d\n" % job), what="an answer")
        assert said == b"OK %d\n" % job
        wait_until(lambda: queue.state(job) == "finished", what="the job's end")
    finally:
        process.kill()
        process.wait()


def asked(address: tuple[str, int] | str, said: bytes) -> bytes:
    """The answer; empty where nothing listens yet."""
    try:
        return ask(address, said)
    except (ConnectionRefusedError, FileNotFoundError):
        return b""
