"""Telling people: through apprise, Sentry, the command and hooks, and by pings; to receivers that are really there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.running import Queue
from tests.project import COMMAND
from tests.receiver import Receiver, receiving, refusing, silent
from tests.waiting import wait_until

TASKS = """
@queue.task
def boom():
    raise ValueError("no such shop")


@queue.task
def waits():
    mark("waits", os.getpid())
    time.sleep(60)
"""
DELAYED = 50
"""Seconds that no run here takes, and less than what a hook that hangs costs."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


def log(queue: Queue) -> str:
    path = queue.directory / "log"
    return path.read_text() if path.exists() else ""


def wait_for_log(queue: Queue, said: str) -> None:
    wait_until(lambda: said in log(queue), what=said)


def pings(receiver: Receiver, number: int) -> list[tuple[str, str]]:
    """The first pings, as path and rid."""
    wait_until(lambda: len(receiver.heard) >= number, what=f"{number} pings")
    return [(path, rid) for path, _, rid in (heard.path.partition("?rid=") for heard in receiver.heard)]


def test_apprise_and_sentry_are_told_and_once_of_recovery(queue: Queue, receiver: Receiver) -> None:
    queue.tasks(
        TASKS,
        f'notify = "json://ann:s3cr3t@{receiver.place}/notify"\nsentry = "http://key@{receiver.place}/1"\nlog = "log"\n'
        "[retry]\nmax_attempts = 1\n",
    )
    job = queue.put("boom")
    assert queue.run().stderr.count("\n") == 1
    wait_until(lambda: len(receiver.heard) == 2, what="two notices")
    [mail] = receiver.told("/notify")
    assert json.loads(mail)["type"] == "failure"
    assert json.loads(mail)["message"].startswith(f"job {job} (jobs.boom) failed for good after 1 of 1 attempts")
    event = json.loads(receiver.told("/api/1/envelope/")[0].splitlines()[2])
    [error] = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("ValueError", "no such shop")
    assert error["stacktrace"]["frames"][-1]["context_line"] == 'raise ValueError("no such shop")'
    assert event["tags"] == {"task": "jobs.boom", "queue": "default", "job": str(job), "reason": "failed"}
    queue.run_silently()
    assert len(receiver.heard) == 2
    assert queue.app.cancel(job)
    queue.run_silently()
    wait_until(lambda: len(receiver.told("/notify")) == 2, what="the good news")
    assert "queue default is healthy again" in receiver.told("/notify")[1]
    queue.put("nothing")
    queue.run_silently()
    assert queue.sql("SELECT * FROM cronq_troubles") == []
    assert log(queue).count("healthy again") == 1
    assert "WARNING" not in log(queue)
    assert "s3cr3t" not in log(queue)


def test_receivers_that_are_silent_or_gone_delay_nothing(queue: Queue) -> None:
    with silent() as nobody:
        queue.tasks(
            TASKS + "\n@queue.on_notify\ndef told(notice):\n    mark('hook', notice.reason)\n    time.sleep(60)\n",
            f'notify = ["json://{nobody}/", "json://u:s3cr3t@{refusing()}/"]\nsentry = "http://s3cr3t@{refusing()}/1"\n'
            f'ping = "http://{nobody}/s3cr3t"\nnotify_command = "echo s said >&2; exit 3"\nlog = "log"\n'
            "[retry]\nmax_attempts = 1\n",
        )
        failing, after = queue.put("boom"), queue.put("nothing", priority=99)
        queue.run("--jobs", 1, seconds=DELAYED)
        assert [queue.state(failing), queue.state(after)] == ["failed", "finished"]
        assert queue.settled()
        for said in (
            "notify_command did not get through: exit status 3: s said",
            "notify json did not get through: apprise could not deliver it",
            "sentry did not get through: events were lost: network",
        ):
            wait_for_log(queue, said)
        queue.wait_for_record("hook failed")
        assert "s3cr3t" not in log(queue)


def test_what_dies_or_raises_while_it_tells_hurts_nobody_else(queue: Queue, receiver: Receiver) -> None:
    queue.tasks(
        TASKS
        + "\n@queue.on_notify\ndef dies(notice):\n    os._exit(3)\n"
        + "\n@queue.on_notify\ndef raises(notice):\n    raise ValueError('not now')\n",
        f'notify = "json://{receiver.place}/"\nlog = "log"\n[retry]\nmax_attempts = 1\n',
    )
    queue.put("boom")
    queue.run()
    wait_for_log(queue, "on_notify dies died while it told a person")
    wait_for_log(queue, "on_notify raises did not get through: ValueError: not now")
    wait_until(lambda: receiver.heard, what="a notice")


def test_a_worker_tells_while_it_works(queue: Queue, receiver: Receiver) -> None:
    queue.tasks(TASKS, f'notify = "json://{receiver.place}/"\n[retry]\nmax_attempts = 1\n')
    queue.work("--jobs", 1)
    queue.put("boom")
    wait_until(lambda: receiver.heard, what="a notice")


# Pings


def test_a_run_is_pinged_at_its_start_and_its_end_an_idle_one_once(queue: Queue, receiver: Receiver) -> None:
    queue.tasks(TASKS, f'ping = "http://{receiver.place}/id"\n[retry]\nmax_attempts = 1\n')
    queue.put("boom")
    queue.run("--fail", status=1)
    (start, first), (end, second) = pings(receiver, 2)
    assert (start, end) == ("/id/start", "/id/1")
    assert first == second
    queue.put("nothing")
    queue.run_silently()
    assert [path for path, _ in pings(receiver, 4)[2:]] == ["/id/start", "/id"]
    queue.run_silently()
    idle, rid = pings(receiver, 5)[4]
    assert (idle, rid != first) == ("/id", True)


def test_a_run_that_breaks_off_is_pinged_as_a_failure(queue: Queue, receiver: Receiver) -> None:
    queue.tasks("import no_such_module\n", f'ping = "http://{receiver.place}/id"\n')
    queue.put("nothing")
    queue.run(status=78)
    assert [path for path, _ in pings(receiver, 2)] == ["/id/start", "/id/78"]


def test_a_run_that_is_killed_is_pinged_as_a_failure_one_that_finds_the_lock_held_is_not(
    queue: Queue, receiver: Receiver
) -> None:
    queue.tasks(TASKS, f'ping = "http://{receiver.place}/id"\n')
    queue.put("waits")
    runner = queue.start("--jobs", 1)
    queue.wait_for_record("waits")
    queue.run_silently()
    runner.kill()
    assert [path for path, _ in pings(receiver, 2)] == ["/id/start", "/id/fail"]


def test_a_ping_that_is_refused_is_a_line_in_the_log(queue: Queue, receiver: Receiver) -> None:
    receiver.status = 404
    queue.tasks("", f'ping = "http://{receiver.place}/s3cr3t"\nlog = "log"\n')
    queue.app.store.prepare()
    queue.run_silently()
    wait_for_log(queue, f"the ping to {receiver.place} did not get through: HTTP status 404")
    assert "s3cr3t" not in log(queue)


def test_what_systemd_would_kill_is_waited_for(queue: Queue, receiver: Receiver) -> None:
    queue.tasks(
        TASKS,
        f'ping = "http://{receiver.place}/id"\nnotify_command = "sleep 0.3; echo told >> record"\n'
        "[retry]\nmax_attempts = 1\n",
    )
    queue.put("boom")
    subprocess.run(
        ["sh", "-c", 'SYSTEMD_EXEC_PID=$$ exec "$@"', "sh", *COMMAND, "run"],
        cwd=queue.directory, env=queue.project.environment, check=True, timeout=60, capture_output=True,
    )  # fmt: skip
    assert [heard.path.partition("?")[0] for heard in receiver.heard] == ["/id/start", "/id"]
    assert queue.recorded() == ["told"]


# Missing libraries

HIDES = """
from importlib.machinery import PathFinder

found = PathFinder.find_spec
PathFinder.find_spec = classmethod(lambda cls, name, *rest: None if name == {name!r} else found(name, *rest))
"""


@pytest.mark.parametrize(
    ("module", "setting"), [("apprise", 'notify = "json://a"'), ("sentry_sdk", 'sentry = "http://k@a/1"')]
)
def test_a_missing_library_is_told_at_the_start(queue: Queue, tmp_path: Path, module: str, setting: str) -> None:
    queue.tasks("", f"{setting}\n")
    job = queue.put("nothing")
    queue.project.write("hidden/sitecustomize.py", HIDES.format(name=module))
    environment = {"PYTHONPATH": str(tmp_path / "hidden")}
    key = setting.split()[0]
    told = f"{queue.directory}/cronq.toml: {key}: {module} is not installed: pip install 'cronq-jobs[{key}]'"
    assert queue.project.cronq("run", env=environment) == (78, "", f"cronq: {told}\n")
    assert queue.state(job) == "ready"
    assert queue.project.cronq("work", "--max-jobs", 1, env=environment).status == 78
