"""Waking workers of this host by datagrams, and of other hosts by PostgreSQL itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cronq.locks import make_folder, wake_folder
from cronq.transports.doorbell import Doorbell, LocalWorkers
from daemons import databases
from tests.integration.stores import config_in
from tests.project import Project
from tests.waiting import wait_until


def test_everybody_on_the_host_is_woken_and_one_answer_is_enough(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    bells = [Doorbell.open(config, f"host-{number}-abc") for number in (1, 2)]
    assert [bell.drain() for bell in bells] == [False, False]
    local_workers = LocalWorkers(config)
    for _ in range(2_000):  # more than a socket holds
        local_workers.wake()
    assert [bell.drain() for bell in bells] == [True, True]
    assert [bell.drain() for bell in bells] == [False, False]
    for bell in bells:
        bell.close()
    assert not Path(wake_folder(config)).exists()
    local_workers.wake()
    local_workers.close()


def test_a_path_longer_than_an_address_is_no_obstacle(tmp_path: Path) -> None:
    config = config_in(tmp_path, lock_dir=str(tmp_path / ("long" * 30)))
    bell, local_workers = Doorbell.open(config, "host-1-abc"), LocalWorkers(config)
    local_workers.wake()
    assert bell.drain()
    assert len(wake_folder(config)) > 108
    bell.close()
    local_workers.close()


def test_the_socket_of_a_dead_worker_is_removed(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    dead, alive = Doorbell.open(config, "host-1-abc"), Doorbell.open(config, "host-2-abc")
    os.close(dead.fd)
    local_workers = LocalWorkers(config)
    local_workers.wake()
    assert alive.drain()
    assert [path.name for path in Path(wake_folder(config)).iterdir()] == ["2-abc"]
    local_workers.close()
    alive.close()
    dead._socket.detach()


def test_only_the_owner_can_enter_the_directory_of_sockets(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    make_folder(config, wake_folder(config))
    assert Path(wake_folder(config)).stat().st_mode & 0o777 == 0o700


def test_a_task_that_closed_all_descriptors_can_still_enqueue(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    bell, local_workers = Doorbell.open(config, "host-1-abc"), LocalWorkers(config)
    local_workers.wake()
    assert local_workers._socket is not None
    os.close(local_workers._socket.fileno())
    local_workers.wake()
    local_workers._look_again = 0.0
    assert bell.drain()
    local_workers.wake()
    assert bell.drain()
    bell.close()
    local_workers.close()


POSTGRESQL = """\
database = "{url}"
lock_dir = "{locks}"
commands = true
"""


@pytest.mark.needs("postgresql")
def test_postgresql_wakes_workers_on_other_hosts_also_after_it_was_killed(project: Project) -> None:
    with databases.private("postgresql") as server:
        url = server.url("postgres")
        project.write("cronq.toml", POSTGRESQL.format(url=url, locks="here"))
        project.write("elsewhere.toml", POSTGRESQL.format(url=url, locks="elsewhere"))
        project.done("update-schema")
        worker = project.start("-v", "work", "--poll", "1h", "--jobs", 1)
        try:
            wait_until(lambda: '"work"' in project.done("workers", "--json"), what="a worker")

            def job() -> int:
                return int(project.done("--config", "elsewhere.toml", "enqueue", "--", "true"))

            project.done("wait", job(), "--timeout", "60s")
            server.kill()
            log = worker.stderr
            assert log is not None
            said = ""
            while "running jobs go on" not in said:
                said += log.readline()
            server.start()
            while "the database is back" not in said:
                said += log.readline()
            while "NOTIFY again" not in said:
                said += log.readline()
            project.done("wait", job(), "--timeout", "60s")
        finally:
            worker.terminate()
            worker.communicate(timeout=60)
        assert worker.returncode == 0
