"""The Python API on a real SQLite database."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from cronq import config as configuration
from cronq.app import Cronq, load_app
from cronq.errors import ConfigError, InvalidInput, JobFailed, JobNotFound, TryLater, UnknownTask
from cronq.job import Job
from cronq.testing import ManualClock, drain, scratch


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Cronq]:
    with Cronq(f"sqlite:///{tmp_path}/jobs.db") as made:
        yield made


def stored(queue: Cronq, job: Job) -> Job:
    found = queue.get(job.id)
    assert found is not None
    return found


def count(queue: Cronq) -> int:
    return sum(number for _, _, number in queue.store.counts())


class Report:
    def perform(self, url: str, depth: int = 1) -> str:
        return f"{url}/{depth}"


# Tasks


def test_a_plain_call_stays_a_plain_call(queue: Cronq) -> None:
    @queue.task
    def add(a: int, b: int = 2) -> int:
        """Adds."""
        return a + b

    assert add(1) == 3
    assert (add.__name__, add.__doc__) == ("add", "Adds.")  # type: ignore[attr-defined]
    assert count(queue) == 0


def test_a_task_is_named_after_module_and_function(queue: Cronq) -> None:
    @queue.task
    def add() -> None: ...

    assert add.name == f"{__name__}.add"
    assert stored(queue, add.enqueue()).task == add.name


def test_a_script_names_its_tasks_as_its_importers_do(tmp_path: Path) -> None:
    script = tmp_path / "jobs.py"
    script.write_text(
        "from cronq import Cronq\nqueue = Cronq('sqlite:///q.db')\n"
        "@queue.task\ndef add(): ...\nprint(add.name)\n"
    )
    root = Path(__file__).parents[2]
    env = os.environ | {"PYTHONPATH": str(root)}
    for arguments in (["jobs.py"], ["-m", "jobs"]):
        ran = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
        )
        assert ran.stdout == "jobs.add\n"


def test_a_class_with_perform_is_a_task_and_stays_a_class(queue: Cronq) -> None:
    report = queue.task(name="report", priority=7)(Report)

    class Longer(report):  # type: ignore[misc,valid-type]
        pass

    job = stored(queue, report.enqueue("http://x", depth=3))
    assert (job.task, job.args, job.priority) == ("report", {"url": "http://x", "depth": 3}, 7)
    assert isinstance(report(), Report)
    assert isinstance(Longer(), report)  # type: ignore[arg-type]
    assert issubclass(Longer, Report)
    assert report.perform(Report(), "u") == "u/1"


def test_a_taken_name_and_a_bad_option_are_refused(queue: Cronq) -> None:
    queue.task(name="x")(Report)
    with pytest.raises(ConfigError, match="two tasks are named 'x'"):
        queue.task(name="x")(len)
    with pytest.raises(
        ConfigError, match=r"task y: priority: expected a whole number from 0 to 999: got 1000"
    ):
        queue.task(name="y", priority=1000)(Report)
    with pytest.raises(ConfigError, match="task y: unknown option 'prio'"):
        queue.task(name="y", prio=1)(Report)  # type: ignore[call-overload]


# Options


def test_call_goes_over_config_goes_over_decorator(tmp_path: Path) -> None:
    file = tmp_path / "cronq.toml"
    file.write_text(
        'database = "sqlite:///jobs.db"\n[retry]\nmax_attempts = 8\n'
        '[tasks.t]\npriority = 20\ntime_limit = "2m"\n'
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
def test_a_bad_option_is_named_and_nothing_is_stored(
    queue: Cronq, options: dict[str, Any], complaint: str
) -> None:
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
        job.queue = "other"  # type: ignore[misc]


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


# Events


def test_an_event_gives_each_subscriber_a_job(queue: Cronq) -> None:
    @queue.on("shot.*", "all.#")
    @queue.task(name="log")
    def log(**fields: Any) -> None: ...

    queue.on("shot.start")(queue.task(name="generate")(Report))
    jobs = queue.emit("shot.start", url="u", size=3)
    assert [(job.task, job.args, job.event) for job in jobs] == [
        ("log", {"url": "u", "size": 3}, "shot.start"),
        ("generate", {"url": "u"}, "shot.start"),
    ]
    assert [stored(queue, job).event for job in jobs] == ["shot.start"] * 2
    assert [job.task for job in queue.emit("all.of.it")] == ["log"]


def test_one_subscriber_that_can_not_take_the_event_and_nothing_is_stored(queue: Cronq) -> None:
    queue.on("shot.*")(queue.task(name="any")(lambda: None))
    queue.on("shot.*")(queue.task(name="generate")(Report))
    with pytest.raises(InvalidInput, match="generate: missing argument 'url'"):
        queue.emit("shot.start")
    assert count(queue) == 0


def test_nobody_subscribed_is_a_warning(queue: Cronq, caplog: pytest.LogCaptureFixture) -> None:
    assert queue.emit("shot.start", url="u") == []
    assert caplog.record_tuples == [("cronq", logging.WARNING, "event shot.start: no task has subscribed")]
    with pytest.raises(InvalidInput, match=r"event 'shot\.\*'"):
        queue.emit("shot.*")


def test_on_is_for_tasks(queue: Cronq) -> None:
    with pytest.raises(ConfigError, match=r"@queue\.on goes above @queue\.task"):
        queue.on("shot.*")(len)  # type: ignore[type-var]


# Later


def test_later_enqueues_what_the_config_allows(tmp_path: Path) -> None:
    config = configuration.from_database(f"sqlite:///{tmp_path}/jobs.db").with_values(allow=["textwrap"])
    with Cronq(config) as queue:
        job = queue.later["textwrap"].shorten("a b c", width=3)
        assert (job.task, job.args) == ("textwrap:shorten", {"text": "a b c", "width": 3})
        job = queue.later["textwrap:TextWrapper"].fill(text="a")
        assert job.task == "textwrap:TextWrapper.fill"
        with pytest.raises(InvalidInput, match="missing argument 'text'"):
            queue.later["textwrap:TextWrapper"].fill()
        with pytest.raises(UnknownTask):
            queue.later["os"].system("ls")


# Asking and steering


def test_wait_gives_back_what_the_task_returned(queue: Cronq) -> None:
    task = queue.task(name="t")(Report)
    moment = queue.task(name="moment")(lambda: datetime(2030, 1, 1, tzinfo=UTC))
    with scratch(queue):
        jobs = [task.enqueue("u"), moment.enqueue()]
        drain(queue)
        assert [queue.wait(job.id, timeout=0) for job in jobs] == ["u/1", datetime(2030, 1, 1, tzinfo=UTC)]


def test_wait_notices_the_end_while_it_waits(queue: Cronq) -> None:
    job = queue.enqueue("t", check=False)

    def end() -> None:
        queue.cancel(job.id, reason="not needed")
        queue.close()

    other = threading.Timer(0.05, end)
    other.start()
    with pytest.raises(JobFailed, match="job 1 is cancelled: not needed") as failed:
        queue.wait(job.id, timeout="30s")
    other.join()
    assert failed.value.job.state == "cancelled"


def test_wait_says_why_there_is_no_result(queue: Cronq) -> None:
    @queue.task(name="broken", max_attempts=1)
    def broken() -> None:
        raise ValueError("no such shop")

    with scratch(queue):
        job = broken.enqueue()
        with pytest.raises(TryLater, match="job 1 has not ended yet: ready"):
            queue.wait(job.id, timeout="0.01s")
        drain(queue)
        with pytest.raises(JobFailed, match="job 1 is failed: ValueError: no such shop"):
            queue.wait(job.id)
        assert queue.ended(job.id).state == "failed"
        with pytest.raises(JobNotFound, match="there is no job 99"):
            queue.wait(99)
        with pytest.raises(InvalidInput, match="timeout: 'soon'"):
            queue.wait(job.id, timeout="soon")
        assert queue.get(99) is None


def test_unfinished_cancel_and_retry(queue: Cronq) -> None:
    first = queue.enqueue("t", check=False, key="mail-7", unique=True)
    assert queue.unfinished(["mail-7", "mail-8"]) == {"mail-7"}
    assert queue.cancel(first.id, reason="wrong address")
    assert not queue.cancel(first.id)
    assert queue.unfinished(["mail-7", "mail-8"]) == set()
    second = queue.enqueue("t", check=False, key="mail-7", unique=True)
    with pytest.raises(InvalidInput, match=f"job {second.id}"):
        queue.retry(first.id)
    queue.cancel(second.id)
    assert queue.retry(first.id)
    assert not queue.retry(first.id)
    assert stored(queue, first).state == "ready"


def test_hooks_are_registered_and_stay_functions(queue: Cronq) -> None:
    for moment in ("before_job", "after_job", "on_error", "job_metadata", "on_notify"):
        hook = getattr(queue, moment)(print)
        assert hook is print
        assert queue.registry.hooks[moment] == [print]


# The caller's transaction


def test_a_job_is_part_of_the_callers_transaction(queue: Cronq, tmp_path: Path) -> None:
    task = queue.task(name="t")(Report)
    task.enqueue("first")
    engine = create_engine(queue.config.database)
    with engine.connect() as connection:
        with connection.begin():
            kept = task.using(connection=connection).enqueue("kept")
            queue.enqueue_many([task.job("a"), task.job("b")], connection=connection)
            with sqlite3.connect(tmp_path / "jobs.db") as other:
                assert other.execute("SELECT count(*) FROM cronq_jobs").fetchone() == (1,)
            other.close()
        with connection.begin() as transaction:
            lost = task.using(connection=connection).enqueue("lost")
            transaction.rollback()
    with Session(engine) as session:
        queue.enqueue("t", {"url": "session"}, connection=session)
        session.rollback()
        queue.command("ls", connection=session)
        session.commit()
    engine.dispose()
    assert queue.get(kept.id) is not None
    assert count(queue) == 5
    assert stored(queue, lost).command == "ls", "the id of what was rolled back is free again"


def test_jobs_for_bulk_carry_no_connection_of_their_own(queue: Cronq) -> None:
    task = queue.task(name="t")(Report)
    with pytest.raises(InvalidInput, match="connection: give it to enqueue_many"):
        task.using(connection=object()).job("u")


# Threads and processes


def test_threads_enqueue_side_by_side(queue: Cronq) -> None:
    task = queue.task(name="t")(Report)
    ids: list[int] = []

    def produce() -> None:
        ids.extend(task.enqueue(str(number)).id for number in range(20))
        queue.close()

    threads = [threading.Thread(target=produce) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids) == list(range(1, 81))


def test_a_forked_child_has_its_own_connection(queue: Cronq) -> None:
    task = queue.task(name="t")(Report)
    task.enqueue("parent")
    child = os.fork()
    if child == 0:
        os._exit(0 if task.enqueue("child").id == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert task.enqueue("parent again").id == 3
    assert queue.store._db.query("PRAGMA integrity_check") == [("ok",)]


# Loading the app of a config


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Cronq]]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def load(text: str, app: str = "jobs:queue") -> Cronq:
        (tmp_path / "jobs.py").write_text(text)
        (tmp_path / "cronq.toml").write_text(f'database = "sqlite:///mine.db"\napp = "{app}"\n')
        return load_app(configuration.load(file=str(tmp_path / "cronq.toml"), environ={}))

    yield load
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_app_gets_the_commands_config(load: Callable[..., Cronq], tmp_path: Path) -> None:
    queue = load(
        "from cronq import Cronq\nqueue = Cronq('sqlite:///other.db')\n@queue.task\ndef add(a: int): ...\n"
    )
    assert queue.config.sqlite_path() == str(tmp_path / "mine.db")
    assert queue.registry.names() == ["jobs.add"]


def test_an_app_that_has_enqueued_moves_to_the_commands_database(
    load: Callable[..., Cronq], tmp_path: Path
) -> None:
    text = f"from cronq import Cronq\nqueue = Cronq('sqlite:///{tmp_path}/other.db')\nqueue.enqueue('x')\n"
    with load(text) as queue:
        assert queue.enqueue("add", check=False).id == 1
        assert (tmp_path / "mine.db").exists()


def test_from_config_in_the_app_is_the_commands_config(
    load: Callable[..., Cronq], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "cronq.toml").write_text("broken = = 1")
    monkeypatch.chdir(elsewhere)
    queue = load("from cronq import Cronq\nqueue = Cronq.from_config()\n")
    assert queue.config.file == str(tmp_path / "cronq.toml")
    with pytest.raises(ConfigError, match="expected TOML"):
        Cronq.from_config()


@pytest.mark.parametrize(
    ("text", "app", "complaint"),
    [
        (
            "import nowhere",
            "jobs:queue",
            "importing jobs failed: ModuleNotFoundError: No module named 'nowhere'",
        ),
        ("1 / 0", "jobs:queue", "importing jobs failed: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "jobs:queue", "importing jobs failed: SystemExit: 3"),
        ("def", "jobs:queue", "importing jobs failed: SyntaxError: "),
        ("", "shop:queue", "importing shop failed: ModuleNotFoundError: No module named 'shop'"),
        ("", "jobs:queue", "there is no queue in jobs"),
        ("queue = 7", "jobs:queue", "is not a Cronq object"),
    ],
)
def test_an_app_that_can_not_be_loaded_is_named(
    load: Callable[..., Cronq], text: str, app: str, complaint: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load(text, app)
    assert str(refused.value).startswith(f"app = '{app}': {complaint}")
    assert "Traceback" not in str(refused.value)


def test_without_an_app_there_are_no_tasks(tmp_path: Path) -> None:
    queue = load_app(configuration.from_database(f"sqlite:///{tmp_path}/jobs.db"))
    assert queue.registry.names() == []
