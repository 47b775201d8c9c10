"""serve-inetd with one connection, and by hand: exactly the job that was asked for, and nothing for strangers."""

from __future__ import annotations

import contextlib
import signal
import socket
import time

import pytest

from tests.integration.running import Queue
from tests.integration.serving import JUNK, Server, answer, connected, reset
from tests.waiting import wait_until

MEGABYTE = """\
@queue.task
def loud():
    mark("started")
    pause_until(lambda: (HERE / "go").exists())
    for stream in (sys.stdout, sys.stderr):
        stream.write("x" * 1_000_000)
        stream.flush()
    os.write(1, b"y" * 1_000_000)
    mark("ended")


@queue.task
def slow():
    mark("started", os.getpid())
    pause_until(lambda: (HERE / "go").exists())
    mark("ended")
"""


def said_to(queue: Queue, said: bytes, *, half_close: bool = False) -> tuple[bytes, int]:
    """What a connection is answered, and the exit status."""
    caller, given = connected()
    with given, caller, Server(queue.project, given) as server:
        given.close()
        caller.sendall(said)
        if half_close:
            caller.shutdown(socket.SHUT_WR)
        return answer(caller), server.ended()


@pytest.mark.parametrize(
    ("end", "half_close"), [("\n", False), ("\r\n", False), ("", True), ("\r", True), ("\nmore\nlines\n", False)]
)
def test_a_line_may_end_in_every_way(queue: Queue, end: str, half_close: bool) -> None:
    job = queue.put("record", {"word": "done"})
    assert said_to(queue, f"{job}{end}".encode(), half_close=half_close) == (f"OK {job}\n".encode(), 0)
    assert (queue.state(job), queue.recorded()) == ("finished", ["done"])
    assert queue.settled()


def test_only_the_job_that_was_asked_for_runs(queue: Queue) -> None:
    first, second = queue.put("record", {"word": "first"}, priority=1), queue.put("record", {"word": "second"})
    assert said_to(queue, f"{second}\n".encode()) == (f"OK {second}\n".encode(), 0)
    assert (queue.state(first), queue.recorded()) == ("ready", ["second"])
    assert queue.sql("SELECT * FROM cronq_workers") == []


def test_why_not(queue: Queue) -> None:
    finished, later, held, blocked = (
        queue.put("nothing"),
        queue.put("nothing", at="+1h"),
        queue.put("nothing", group="g"),
        queue.put("nothing", group="g"),
    )
    queue.run_silently("--limit", "1")
    said = {job: said_to(queue, b"%d\n" % job) for job in (finished, later, blocked, 99)}
    assert said == {
        finished: (b"ERR %d finished\n" % finished, 1),
        later: (b"ERR %d not due\n" % later, 1),
        blocked: (b"ERR %d blocked by %d\n" % (blocked, held), 1),
        99: (b"ERR 99 unknown\n", 1),
    }
    queue.sql("INSERT INTO cronq_paused (queue, paused_at) VALUES ('default', 1)")
    assert said_to(queue, b"%d\n" % held) == (b"ERR %d paused\n" % held, 1)


@pytest.mark.parametrize("what", ["other digits", "five thousand digits", "the hello of TLS"])
def test_junk(queue: Queue, what: str) -> None:
    queue.put("nothing")
    assert said_to(queue, JUNK[what]) == (b"ERR malformed\n", 65)
    assert queue.state(1) == "ready"


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_probe_of_the_port_gets_no_answer(queue: Queue, how: str) -> None:
    caller, given = connected()
    with Server(queue.project, given) as server:
        given.close()
        if how == "close":
            caller.shutdown(socket.SHUT_WR)
            assert answer(caller) == b""
            caller.close()
        else:
            reset(caller)
        assert server.ended() == 0


def test_a_slow_caller_has_five_seconds_for_all_of_the_line(queue: Queue) -> None:
    queue.put("nothing")
    caller, given = connected()
    with caller, Server(queue.project, given) as server:
        given.close()
        started = time.monotonic()
        caller.settimeout(1)
        said = b""
        for _ in range(15):
            caller.sendall(b"0")
            with contextlib.suppress(TimeoutError):
                said = caller.recv(64)
                break
        assert (said or answer(caller)) == b"ERR timeout\n"
        assert 4 < time.monotonic() - started < 19, "five seconds after the last byte it is twenty"
        assert server.ended() == 65


def test_what_a_task_prints_never_reaches_the_caller_whose_reset_does_not_reach_the_task(queue: Queue) -> None:
    queue.tasks(MEGABYTE)
    job = queue.put("loud")
    caller, given = connected()
    with Server(queue.project, given) as server:
        given.close()
        caller.sendall(b"%d\n" % job)
        assert caller.recv(64) == b"OK %d\n" % job
        queue.wait_for_record("started")
        reset(caller)
        queue.project.write("go", "")
        assert server.ended() == 0
    row = queue.row(job)
    assert (row["state"], queue.recorded()[-1]) == ("finished", "ended")
    assert row["stdout"].startswith("x")


def test_the_connection_ends_with_the_answer_though_the_job_goes_on_also_after_term(queue: Queue) -> None:
    queue.tasks(MEGABYTE)
    job = queue.put("slow")
    caller, given = connected()
    with caller, Server(queue.project, given) as server:
        given.close()
        caller.sendall(b"%d\n" % job)
        assert answer(caller) == b"OK %d\n" % job
        queue.wait_for_record("started")
        assert queue.state(job) == "running"
        [(kind,)] = wait_until(lambda: queue.sql("SELECT kind FROM cronq_workers"), what="the worker's row")
        assert kind == "serve-inetd"
        server.process.send_signal(signal.SIGHUP)
        server.process.terminate()
        queue.project.write("go", "")
        assert server.ended() == 0
    assert queue.state(job) == "finished"
    assert queue.settled()


def has_ended_after_term(server: Server) -> bool:
    """Whether it has ended; if not, another SIGTERM is sent."""
    server.process.terminate()
    return server.process.poll() is not None


def test_a_second_term_gives_the_job_back(queue: Queue) -> None:
    queue.tasks(MEGABYTE)
    job = queue.put("slow")
    caller, given = connected()
    with caller, Server(queue.project, given) as server:
        given.close()
        caller.sendall(b"%d\n" % job)
        queue.wait_for_record("started")
        wait_until(lambda: has_ended_after_term(server), what="the end of the server")
        assert server.ended() in (0, -signal.SIGTERM)  # one signal may come when all is done
    row = queue.row(job)
    assert (row["state"], row["attempt"]) == ("ready", 0)
    assert queue.settled()


def test_a_runner_that_is_killed_leaves_nothing_stuck(queue: Queue) -> None:
    queue.tasks(MEGABYTE)
    job = queue.put("slow")
    caller, given = connected()
    with caller, Server(queue.project, given) as server:
        given.close()
        caller.sendall(b"%d\n" % job)
        queue.wait_for_record("started")
        server.process.kill()
    queue.project.write("go", "")
    queue.run()
    assert (queue.state(job), queue.row(job)["crashes"]) == ("finished", 1)
    assert queue.settled()


def test_an_app_that_can_not_be_imported_costs_no_attempt_and_tells_the_caller_nothing(queue: Queue) -> None:
    job = queue.put("nothing")
    queue.project.write("jobs.py", "raise RuntimeError('secret')")
    assert said_to(queue, b"%d\n" % job) == (b"OK %d\n" % job, 78)
    row = queue.row(job)
    assert (row["state"], row["attempt"]) == ("ready", 0)
    assert queue.settled()


def test_what_is_wrong_here_is_nothing_for_strangers(queue: Queue) -> None:
    queue.project.write("cronq.toml", "nonsense = /secret")
    assert said_to(queue, b"1\n") == (b"ERR unavailable\n", 78)
    queue.project.write("cronq.toml", 'database = "sqlite:////nowhere/secret.db"')
    assert said_to(queue, b"1\n") == (b"ERR unavailable\n", 69)


def test_an_unknown_option_is_not_explained_to_the_caller(queue: Queue) -> None:
    caller, given = connected()
    with caller, Server(queue.project, given, ("--bogus",)) as server:
        given.close()
        assert (answer(caller), server.ended()) == (b"", 64)


def test_a_job_that_fails_is_no_failure_of_the_server(queue: Queue) -> None:
    job = queue.command("exit 100")
    assert said_to(queue, b"%d\n" % job) == (b"OK %d\n" % job, 0)
    assert queue.state(job) == "failed"


def test_25_connections_with_one_id_are_one_run(queue: Queue) -> None:
    job = queue.put("record", {"word": "ran"})
    calls = [connected() for _ in range(25)]
    servers = []
    for caller, given in calls:
        servers.append(Server(queue.project, given))
        given.close()
        caller.sendall(b"%d\n" % job)
    said = [answer(caller) for caller, _ in calls]
    for (caller, _), server in zip(calls, servers, strict=True):
        with caller, server:
            server.ended()
    assert said.count(b"OK %d\n" % job) == 1
    assert set(said) <= {b"OK %d\n" % job, b"ERR %d running\n" % job, b"ERR %d finished\n" % job}
    assert queue.recorded() == ["ran"]


def test_by_hand_from_a_pipe(queue: Queue) -> None:
    job = queue.put("record", {"word": "by hand"})
    project = queue.project
    assert project.cronq("serve-inetd", stdin=f"{job}\n") == (0, f"OK {job}\n", "")
    assert project.cronq("serve-inetd", stdin=f"{job}") == (1, f"ERR {job} finished\n", "")
    assert project.cronq("serve-inetd", stdin="two\n") == (65, "ERR malformed\n", "")
    assert project.cronq("serve-inetd", stdin="") == (0, "", "")
    assert queue.recorded() == ["by hand"]


def test_by_hand_errors_are_for_people(queue: Queue) -> None:
    job = queue.put("nothing")
    queue.project.write("jobs.py", "raise RuntimeError('what is wrong')")
    ran = queue.project.cronq("serve-inetd", stdin=f"{job}\n")
    assert (ran.status, ran.stdout) == (78, f"OK {job}\n")
    assert "what is wrong" in ran.stderr


def test_the_first_job_of_all_meets_no_tables(queue: Queue) -> None:
    assert queue.project.cronq("serve-inetd", stdin="1\n") == (1, "ERR 1 unknown\n", "")
    assert queue.rows() == []


def test_a_datagram_socket_is_of_no_use(queue: Queue) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as given, Server(queue.project, given) as server:
        assert server.ended() == 64
