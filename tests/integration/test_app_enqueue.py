"""What the Python API enqueues, and what it refuses, on a real SQLite database."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cronq.app import Cronq
from cronq.config import loader as configuration
from cronq.errors import ConfigError, InvalidInput, UnknownTask
from cronq.model.job import Job
from cronq.testing import ManualClock, scratch
from tests.integration.looking import Report, count, stored


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Cronq]:
    with Cronq(f"sqlite:///{tmp_path}/jobs.db") as made:
        yield made


# Options


def test_call_goes_over_config_goes_over_decorator(tmp_path: Path) -> None:
    file = tmp_path / "cronq.toml"
    file.write_text(
        'database = "sqlite:///jobs.db"\n[retry]\nmax_attempts = 8\n[tasks.t]\npriority = 20\ntime_limit = "2m"\n'
    )
    with Cronq.from_config(str(file)) as queue:
        task = queue.task(name="t", queue="mail", priority=10, time_limit=60)(Report)
        plain = queue.task(name="plain")(lambda: None)
        assert (plain.job().max_attempts, plain.job().time_limit, plain.job().queue) == (8, None, "default")
        job = task.job("u")
        assert (job.queue, job.priority, job.time_limit, job.max_attempts) == ("mail", 20, 120.0, 8)
        job = task.using(queue="q", priority=30, max_attempts=3, time_limit="1h", base=1, jitter=0).job("u")
        assert job[2:4] + job[8:10] == ("q", 30, 3, 3600.0)
        assert job.retry == '{"base": 1.0, "jitter": 0.0}'
        assert queue.enqueue("t", {"url": "u"}, priority=None).priority == 20


def test_using_sets_what_one_job_is(queue: Cronq) -> None:
    task = queue.task(name="t")(Report)
    job = stored(queue, task.using(at="+1h", group="invoice-7", key="mail-7", unique=True).enqueue("u"))
    assert (job.group, job.key, job.unique, job.state) == ("invoice-7", "mail-7", True, "scheduled")
    assert timedelta(minutes=59) < job.available_at - datetime.now(UTC) <= timedelta(hours=1)


@pytest.mark.parametrize("at", [datetime(2030, 1, 1, tzinfo=UTC), "2030-01-01", "2030-01-01T01:00:00+01:00"])
def test_a_time_may_be_given_in_several_ways(queue: Cronq, at: Any) -> None:
    job = queue.enqueue("t", check=False, at=at)
    assert job.available_at == stored(queue, job).available_at == datetime(2030, 1, 1, tzinfo=UTC)


def test_a_delay_counts_from_each_enqueue(queue: Cronq) -> None:
    clock = ManualClock("2026-01-01")
    with scratch(queue, clock=clock):
        later = queue.task(name="t")(Report).using(at=timedelta(hours=1))
        clock.advance("1d")
        assert later.enqueue("u").available_at == datetime(2026, 1, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"priority": 1000}, "priority: expected a whole number from 0 to 999: got 1000"),
        ({"priority": "1"}, "priority: expected a whole number"),
        ({"max_attempts": 0}, "max_attempts: expected"),
        ({"max_attempts": True}, "max_attempts: expected"),
        ({"time_limit": 0}, "time_limit: expected a duration of more than 0 s"),
        ({"queue": "a*"}, "queue: expected the name of a queue"),
        ({"queue": ""}, "queue: expected"),
        ({"key": 7}, "key: expected a text of 1 to 255 characters: got 7"),
        ({"group": "g" * 256}, "group: expected"),
        ({"unique": "yes", "key": "k"}, "unique: expected true or false: got 'yes'"),
        ({"unique": True}, "unique: a job can only be unique by its key"),
        ({"at": "soon"}, "at: 'soon' is neither a time"),
        ({"at": ["now"]}, "at: "),
        ({"jitter": 2}, "jitter: expected"),
        ({"att": 1}, "unknown option 'att', known are at, queue, priority"),
    ],
)
def test_a_bad_option_is_named_and_nothing_is_stored(queue: Cronq, options: dict[str, Any], complaint: str) -> None:
    task = queue.task(name="t")(Report)
    for attempt in (lambda: task.using(**options), lambda: queue.enqueue("t", {"url": "u"}, **options)):
        with pytest.raises(InvalidInput) as refused:
            attempt()
        assert str(refused.value).startswith(complaint)
    assert count(queue) == 0


# Enqueueing by name


def test_arguments_that_do_not_fit_are_refused(queue: Cronq) -> None:
    task = queue.task(name="t")(Report)
    with pytest.raises(InvalidInput, match=r"t: missing argument 'url'; takes \(url: str"):
        queue.enqueue("t")
    with pytest.raises(InvalidInput, match="t: argument 'depth'"):
        task.enqueue("u", depth="deep")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"args: expected an object of arguments by name: got \[1\]"):
        queue.enqueue("t", [1])  # type: ignore[arg-type]
    assert count(queue) == 0


def test_an_unknown_task_is_refused_with_a_guess(queue: Cronq) -> None:
    queue.task(name="mail.send")(Report)
    with pytest.raises(UnknownTask, match=r"unknown task 'mail\.sent'.*did you mean 'mail\.send'"):
        queue.enqueue("mail.sent")
    assert queue.enqueue("mail.sent", {"any": 1}, check=False).task == "mail.sent"


def test_a_producer_without_tasks_enqueues_as_given(queue: Cronq) -> None:
    job = stored(queue, queue.enqueue("elsewhere.task", {"n": 1, "day": datetime(2030, 1, 1).date()}))
    assert job.task == "elsewhere.task"
    assert job.args == {"n": 1, "day": {"$cronq": "date", "value": "2030-01-01"}}
    with pytest.raises(InvalidInput, match="task: expected a name"):
        queue.enqueue("")


def test_the_job_that_comes_back_is_the_stored_one(queue: Cronq) -> None:
    task = queue.task(name="t", queue="q")(Report)
    job = task.using(key="k", group="g", at="+1d").enqueue("u")
    same = stored(queue, job).to_json()
    assert job.to_json() | {"created_at": "", "available_at": ""} == same | {
        "created_at": "",
        "available_at": "",
    }
    assert isinstance(job, Job)
    assert repr(job).startswith("Job(id=1, queue='q', ")
    assert copy.deepcopy(job) == pickle.loads(pickle.dumps(job)) == copy.copy(job)
    assert not hasattr(job, "colour")
    with pytest.raises(AttributeError):
        job.queue = "other"


def test_a_twin_comes_back_as_what_it_is(queue: Cronq) -> None:
    task = queue.task(name="t")(Report)
    first = task.using(key="k", unique=True).enqueue("first")
    twin = task.using(key="k", unique=True, priority=1).enqueue("second")
    assert (twin.id, twin.existing, first.existing) == (first.id, True, False)
    assert (twin.args, twin.priority) == ({"url": "first"}, 50)
    assert count(queue) == 1


# Commands


def test_a_command_is_a_job(queue: Cronq) -> None:
    assert stored(queue, queue.command("ls | wc", queue="q")).command == "ls | wc"
    job = queue.command(("ls", "-l"), priority=3)
    assert (job.command, job.args, job.priority) == (["ls", "-l"], {}, 3)
    assert stored(queue, job).command == ["ls", "-l"]


@pytest.mark.parametrize("command", ["", " ", [], ["ls", 1], None, 7])
def test_what_is_no_command_is_refused(queue: Cronq, command: Any) -> None:
    with pytest.raises(InvalidInput, match="command: expected"):
        queue.command(command)


def commands(**values: object) -> Callable[[Path], None]:
    def attempt(directory: Path) -> None:
        config = configuration.from_database(f"sqlite:///{directory}/jobs.db").with_values(**values)
        with Cronq(config) as queue:
            queue.enqueue("command", {"command": "ls"}, check=False)
            queue.enqueue_many([{"command": "ls"}])
            queue.command("ls")

    return attempt


def test_commands_need_a_file_that_nobody_else_can_write(tmp_path: Path) -> None:
    attempt = commands()
    attempt(tmp_path)
    for path, mode in ((tmp_path / "jobs.db", 0o664), (tmp_path / "jobs.db", 0o646), (tmp_path, 0o777)):
        usual = path.stat().st_mode
        path.chmod(mode)
        with pytest.raises(ConfigError, match=r"others can write .*`commands = true`"):
            attempt(tmp_path)
        commands(commands=True)(tmp_path)
        path.chmod(usual)
    attempt(tmp_path)


def test_the_config_decides_about_commands(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the config says `commands = false`"):
        commands(commands=False)(tmp_path)
    server = Cronq("mysql+pymysql://user:secret@localhost/db")
    with pytest.raises(ConfigError, match="a database on a server; `commands = true`"):
        server.command("ls")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_commands_need_a_file_of_our_own(tmp_path: Path) -> None:
    commands()(tmp_path)
    os.chown(tmp_path / "jobs.db", 65534, -1)
    with pytest.raises(ConfigError, match="belongs to another user"):
        commands()(tmp_path)


# Bulk


def test_bulk_takes_specs_and_dicts_and_keeps_the_order(queue: Cronq) -> None:
    task = queue.task(name="t")(Report)
    jobs = queue.enqueue_many(
        [
            task.job("a"),
            task.using(key="k", at="+1h").job("b", depth=2),
            {"task": "t", "args": {"url": "c"}, "queue": "slow", "priority": 1},
            {"command": ["ls"]},
        ]
    )
    assert [job.id for job in jobs] == [1, 2, 3, 4]
    found = [stored(queue, job) for job in jobs]
    assert [job.args.get("url") for job in found if job.args is not None] == ["a", "b", "c", None]
    assert [job.key for job in found] == [None, "k", None, None]
    assert queue.enqueue_many([]) == []


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ({"task": "t"}, "job 2: t: missing argument 'url'"),
        ({"task": "u"}, "job 2: unknown task 'u'"),
        ({"task": "t", "args": {"url": "u"}, "when": 1}, "job 2: unknown key 'when', known are task, args"),
        ({"args": {}}, "job 2: a job needs either `task` or `command`"),
        ({"task": "t", "command": "ls"}, "job 2: a job needs either"),
        ({"command": "ls", "args": {"a": 1}}, "job 2: a command has its arguments in `command`"),
        ({"task": "t", "args": {"url": "u"}, "priority": -1}, "job 2: priority: expected"),
        ("t", "job 2: expected an object with the keys task, args"),
    ],
)
def test_one_bad_job_and_nothing_is_stored(queue: Cronq, bad: Any, complaint: str) -> None:
    task = queue.task(name="t")(Report)
    with pytest.raises(InvalidInput) as refused:
        queue.enqueue_many([task.job("a"), bad])
    assert str(refused.value).startswith(complaint)
    assert count(queue) == 0
