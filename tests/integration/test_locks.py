"""Who runs, and who is alive, as the kernel tells it."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import signal
import subprocess
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from cronq.config.loader import Config
from cronq.errors import ConfigError, Unavailable
from cronq.execution import journal
from cronq.execution.journal import Journal, path_for
from cronq.locks import DeadWorker, Liveness, RunLock, looks_dead
from tests.integration.stores import config_in
from tests.project import Project


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_in(tmp_path)


@pytest.fixture
def processes() -> Iterator[list[BaseProcess]]:
    started: list[BaseProcess] = []
    yield started
    for process in started:
        process.kill()
        process.join(60)


def hold(config: Config, kind: str, has_it: object, let_go: object) -> None:
    if kind == "run":
        with RunLock(config) as lock:
            if lock.acquired:
                has_it.set()  # type: ignore[attr-defined]
            let_go.wait(60)  # type: ignore[attr-defined]
    else:
        alive = Liveness.lock(config, "worker")
        has_it.set()  # type: ignore[attr-defined]
        let_go.wait(60)  # type: ignore[attr-defined]
        alive.end()


def holding(config: Config, kind: str, processes: list[BaseProcess]) -> BaseProcess:
    context = multiprocessing.get_context("fork")
    has_it, let_go = context.Event(), context.Event()
    process = context.Process(target=hold, args=(config, kind, has_it, let_go))
    process.start()
    processes.append(process)
    assert has_it.wait(60)
    return process


def kill(process: BaseProcess) -> None:
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join(60)


def test_one_run_at_a_time_and_its_holder_is_known(config: Config, processes: list[BaseProcess]) -> None:
    process = holding(config, "run", processes)
    with RunLock(config) as lock:
        assert not lock.acquired
        assert lock.holder is not None
        assert lock.holder[0] == process.pid
    with RunLock(config, filters="queues=a") as lock:
        assert lock.acquired, "other filters run beside it"


def test_a_killed_run_frees_the_lock_and_leaves_the_file(config: Config, processes: list[BaseProcess]) -> None:
    process = holding(config, "run", processes)
    path = Path(RunLock(config).path)
    before = path.stat().st_ino
    kill(process)
    with RunLock(config) as lock:
        assert lock.acquired
        assert lock.holder is not None
        assert lock.holder[0] == os.getpid()
    assert path.stat().st_ino == before


def test_files_are_for_their_owner_only(config: Config) -> None:
    alive = Liveness.lock(config, "worker")
    with RunLock(config) as lock:
        for path in (alive.path, lock.path):
            assert Path(path).stat().st_mode & 0o777 == 0o600
    assert Path(config.lock_dir).stat().st_mode & 0o777 == 0o700
    alive.end()
    assert not Path(alive.path).exists()


def test_a_symbolic_link_is_refused(config: Config, tmp_path: Path) -> None:
    path = Path(RunLock(config).path)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(tmp_path / "target")
    with pytest.raises(ConfigError, match="run-"), RunLock(config):
        pytest.fail("the link was followed")
    assert not (tmp_path / "target").exists()


def test_the_living_leave_no_remains(config: Config, processes: list[BaseProcess]) -> None:
    holding(config, "alive", processes)
    with DeadWorker(config, "worker") as dead:
        assert (dead.found, dead.mine, dead.runner_is_dead) == (True, False, False)


def test_the_dead_are_rescued_by_one(config: Config, processes: list[BaseProcess]) -> None:
    kill(holding(config, "alive", processes))
    assert journal.workers(config) == {"worker"}
    with DeadWorker(config, "worker") as mine, DeadWorker(config, "worker") as second:
        assert (mine.found, mine.mine, mine.rebooted) == (True, True, False)
        assert (second.found, second.mine) == (True, False)
        mine.forget()
        mine.forget()
    assert journal.workers(config) == set()


def test_a_rescue_that_breaks_off_can_be_done_again(config: Config, processes: list[BaseProcess]) -> None:
    kill(holding(config, "alive", processes))
    with pytest.raises(ZeroDivisionError), DeadWorker(config, "worker"):
        _ = 1 / 0
    with DeadWorker(config, "worker") as again:
        assert again.mine


def test_without_a_file_nothing_is_known(config: Config) -> None:
    with DeadWorker(config, "nobody") as dead:
        assert (dead.found, dead.mine, dead.rebooted) == (False, True, False)
        dead.forget()


def test_after_a_reboot(config: Config, processes: list[BaseProcess]) -> None:
    kill(holding(config, "alive", processes))
    (file,) = Path(config.lock_dir).glob("*.alive")
    pid, start, *_ = file.read_text().split()
    file.write_text(f"{pid} {start} another-boot\n")
    with DeadWorker(config, "worker") as dead:
        assert (dead.mine, dead.rebooted, dead.runner_is_dead) == (True, True, True)


def test_databases_that_share_a_lock_directory_leave_each_other_alone(config: Config, tmp_path: Path) -> None:
    shared = str(tmp_path / "locks")
    one = config.with_values("the test", lock_dir=shared)
    for two in (
        one.with_values("the test", table_prefix="other_"),
        one.with_values("x", database=f"sqlite:///{tmp_path}/b.db"),
    ):
        assert two.lock_dir == one.lock_dir
        alive, book = Liveness.lock(one, "worker"), Journal.create(path_for(one, "worker", 1))
        assert journal.workers(one) == {"worker"}
        assert journal.workers(two) == set()
        assert list(journal.journals_of(two, "worker")) == []
        book.remove()
        alive.end()


def test_names_with_dots(config: Config) -> None:
    book = Journal.create(path_for(config, "db1.example.org-12-ab", 3))
    assert journal.workers(config) == {"db1.example.org-12-ab"}
    (again,) = journal.journals_of(config, "db1.example.org-12-ab")
    again.close()
    book.remove()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_directory_that_others_can_write_to_is_refused(config: Config, mode: int) -> None:
    Path(config.lock_dir).mkdir()
    Path(config.lock_dir).chmod(mode)
    for take in (lambda: RunLock(config).__enter__(), lambda: Liveness.lock(config, "worker")):
        with pytest.raises(ConfigError, match=r"others can write there, hold cronq's locks .*; chmod go-w "):
            take()


def test_of_a_runner_in_another_container_only_the_lock_tells(config: Config, processes: list[BaseProcess]) -> None:
    """Its pid is that of another process here, or of none."""
    runner = holding(config, "alive", processes)
    (file,) = Path(config.lock_dir).glob("*.alive")
    _, start, boot, namespace = file.read_text().split()
    file.write_text(f"999999999 {start} {boot} {int(namespace) + 1}\n")
    assert not looks_dead(config, "worker")
    with DeadWorker(config, "worker") as dead:
        assert (dead.mine, dead.runner_is_dead) == (False, False)
    kill(runner)
    with DeadWorker(config, "worker") as dead:
        assert dead.mine


def test_a_file_system_without_locks_is_told_with_the_path(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(_fd: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with (
        pytest.raises(Unavailable, match=f"{config.lock_dir}/run-.*: No locks available; set lock_dir"),
        RunLock(config),
    ):
        pass


def test_a_read_only_file_system_is_told(project: Project, tmp_path: Path) -> None:
    place = tmp_path / "read only"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "none", place], check=False, capture_output=True)
    if made.returncode:
        pytest.skip("only root can mount a file system")
    try:
        assert project.cronq("--db", f"sqlite:///{place}/cronq.db", "enqueue", "--", "true").status == 0
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        for command in (["enqueue", "--", "true"], ["run"]):
            ran = project.cronq("--db", f"sqlite:///{place}/cronq.db", *command)
            assert "read-only" in ran.stderr.lower(), ran
            assert "owner" not in ran.stderr
            assert len(ran.stderr.splitlines()) == 1
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
