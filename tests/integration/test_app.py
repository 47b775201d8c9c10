"""The Python API on a real SQLite database."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from cronq.app import Cronq, load_app
from cronq.config import loader as configuration
from cronq.errors import ConfigError, InvalidInput, JobFailed, JobNotFound, TryLater, UnknownTask
from cronq.testing import drain, scratch
from tests.integration.looking import Report, count, stored


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Cronq]:
    with Cronq(f"sqlite:///{tmp_path}/jobs.db") as made:
        yield made


def test_a_queue_that_nobody_closes_warns_of_nothing(tmp_path: Path) -> None:
    """Python warns, from 3.13 on, of a connection that is collected open, and warnings are errors here."""
    Cronq(f"sqlite:///{tmp_path}/jobs.db").command("true")
    gc.collect()


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
        "from cronq import Cronq\nqueue = Cronq('sqlite:///q.db')\n@queue.task\ndef add(): ...\nprint(add.name)\n"
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
    with pytest.raises(ConfigError, match=r"task y: priority: expected a whole number from 0 to 999: got 1000"):
        queue.task(name="y", priority=1000)(Report)
    with pytest.raises(ConfigError, match="task y: unknown option 'prio'"):
        queue.task(name="y", prio=1)(Report)  # type: ignore[call-overload]


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
            with contextlib.closing(sqlite3.connect(tmp_path / "jobs.db")) as other, other:
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
    assert queue.store._tables.open().query("PRAGMA integrity_check") == [("ok",)]


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
    queue = load("from cronq import Cronq\nqueue = Cronq('sqlite:///other.db')\n@queue.task\ndef add(a: int): ...\n")
    assert queue.config.sqlite_path() == str(tmp_path / "mine.db")
    assert queue.registry.names() == ["jobs.add"]


def test_an_app_that_has_enqueued_moves_to_the_commands_database(load: Callable[..., Cronq], tmp_path: Path) -> None:
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
            "importing jobs failed at DIR/jobs.py:1: ModuleNotFoundError: No module named 'nowhere'",
        ),
        ("1 / 0", "jobs:queue", "importing jobs failed at DIR/jobs.py:1: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "jobs:queue", "importing jobs failed at DIR/jobs.py:1: SystemExit: 3"),
        ("def", "jobs:queue", "importing jobs failed at DIR/jobs.py:1: SyntaxError: "),
        ("", "shop:queue", "importing shop failed: ModuleNotFoundError: No module named 'shop'"),
        ("", "jobs:queue", "there is no queue in jobs"),
        ("queue = 7", "jobs:queue", "is not a Cronq object"),
    ],
)
def test_an_app_that_can_not_be_loaded_is_named(
    load: Callable[..., Cronq], text: str, app: str, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        load(text, app)
    assert str(refused.value).replace(str(tmp_path), "DIR").startswith(f"app = '{app}': {complaint}")
    assert "Traceback" not in str(refused.value)


def test_a_failing_import_is_told_where_the_app_s_own_files_have_it(load: Callable[..., Cronq], tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import json\n\njson.loads('{')\n")
    with pytest.raises(ConfigError, match=rf"importing jobs failed at {tmp_path}/shop\.py:3: JSONDecodeError: "):
        load("import shop")


def test_without_an_app_there_are_no_tasks(tmp_path: Path) -> None:
    queue = load_app(configuration.from_database(f"sqlite:///{tmp_path}/jobs.db"))
    assert queue.registry.names() == []
