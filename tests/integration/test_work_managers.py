"""Workers under service managers, and as the first process of a container."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path
from typing import Self

import pytest

from tests.integration.running import Queue
from tests.integration.working import NEVER, begin, ended, finish, pids, wait_for_state
from tests.project import COMMAND
from tests.servers import UNSHARE
from tests.waiting import wait_until


class Manager:
    """A stand-in for systemd's end of $NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(60)
        self.told: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def wait_for(self, beginning: str) -> None:
        while not (self.told and self.told[-1].startswith(beginning)):
            self.told.append(self._socket.recv(4096).decode())


def test_a_service_manager_is_told_how_it_does(tasks: Queue, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("n") / "notify"
    with Manager(place) as manager:
        worker = tasks.work(*NEVER, env={"NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "400000"})
        manager.wait_for("READY=1")
        manager.wait_for("STATUS=running, 0 jobs assigned, 0 done")
        manager.wait_for("WATCHDOG=1")
        manager.told.append("and again")
        manager.wait_for("WATCHDOG=1")
        worker.send_signal(signal.SIGHUP)
        manager.wait_for("RELOADING=1\nMONOTONIC_USEC=")
        manager.wait_for("READY=1")
        worker.terminate()
        manager.wait_for("STOPPING=1")
        assert ended(worker) == (0, "")


SUPERVISOR = """\
[supervisord]
nodaemon=true
logfile={place}/supervisord.log
pidfile={place}/supervisord.pid
childlogdir={place}

[program:cronq]
command={command} work --poll 1h --jobs 1
directory={place}
numprocs=2
process_name=%(program_name)s-%(process_num)s
autorestart=true
startsecs=0
stopsignal=TERM
redirect_stderr=true
"""


@pytest.mark.needs("supervisor")
def test_reload_under_supervisord_spends_no_attempt(tasks: Queue) -> None:
    from tests.project import COMMAND

    tasks.app.store.prepare()
    text = SUPERVISOR.format(place=tasks.directory, command=" ".join(COMMAND))
    config = tasks.project.write("supervisord.conf", text)
    supervisor = subprocess.Popen(
        ["supervisord", "-c", str(config)],
        env=tasks.project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: len(pids(tasks)) == 2, what="two workers")
        before = pids(tasks)
        jobs = [begin(tasks, name) for name in ("one", "two")]
        assert len(tasks.project.done("reload-workers").splitlines()) == 2
        wait_for_state(tasks, "ending")
        jobs.append(tasks.put("record", {"word": "after"}))
        for name in ("one", "two"):
            finish(tasks, name)
        tasks.wait_for_record("after")
        wait_until(lambda: not before & pids(tasks), what="new processes")
        wait_until(lambda: all(tasks.state(job) == "finished" for job in jobs))
        assert [(tasks.row(job)["attempt"], tasks.attempts(job)) for job in jobs] == [(1, [])] * 3
    finally:
        supervisor.terminate()
        supervisor.wait(timeout=60)


def test_as_the_first_process_of_a_container_it_reaps_and_passes_signals_on(queue: Queue) -> None:
    if subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("only root can make a pid namespace")
    queue.command("setsid sleep 0.2 >/dev/null 2>&1 & true")
    zombies = queue.command("sleep 3; grep -h '^State:.*Z' /proc/[0-9]*/status | wc -l")
    ends = queue.command("kill -TERM 1")
    command = [*UNSHARE, *COMMAND, "work", "--jobs", "1", "--max-time", "60"]
    ran = subprocess.run(
        command, cwd=queue.directory, env=queue.project.environment, capture_output=True, timeout=200, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert queue.row(zombies)["stdout"].split()[-1] == "0"
    assert queue.state(ends) == "finished"
