"""packaging/supervisor/cronq.conf: a real supervisord keeps a worker alive and gives it time to end."""

from __future__ import annotations

import configparser
import contextlib
import http.client
import shlex
import socket
import subprocess
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cronq.execution.stopping import SHUTDOWN_GRACE
from tests.project import ROOT
from tests.servers import UNSHARE, program
from tests.waiting import wait_until

FILE = ROOT / "packaging" / "supervisor" / "cronq.conf"

SUPERVISORD = """\
[supervisord]
nodaemon=true
user=root
logfile={root}/supervisord.log
pidfile={root}/supervisord.pid
childlogdir={root}

[unix_http_server]
file={root}/socket

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{root}/socket

"""

STAND_IN = """\
#!/bin/sh
trap 'echo told >>$HOME/signals; exit 0' TERM
{ echo "$*"; umask; env; } >$HOME/part.$$
mv $HOME/part.$$ $HOME/given.$$
until mv $HOME/end $HOME/ended.$$ 2>/dev/null; do sleep 0.05; done
"""
"""It starts, stays, ends with status 0 when asked, which ends one of them only, and is told by SIGTERM."""


class Supervisor:
    """A supervisord of its own with the packaged file: changed are paths, the user, `numprocs` and `startsecs`."""

    def __init__(self, root: Path, *, workers: int) -> None:
        self.root = root
        worker = root / "worker"
        worker.write_text(STAND_IN)
        worker.chmod(0o755)
        text = FILE.read_text().replace("/usr/bin/cronq", str(worker)).replace("/var/log/supervisor", str(root))
        text = text.replace("/var/lib/cronq", str(root)).replace("user=cronq", "user=root")
        text = text.replace("numprocs=1", f"numprocs={workers}").replace("startsecs=3", "startsecs=1")
        (root / "supervisord.conf").write_text(SUPERVISORD.format(root=root) + text)

    def __enter__(self) -> Supervisor:
        command = [str(program("supervisord")), "-c", f"{self.root}/supervisord.conf"]
        self._process = subprocess.Popen(
            [*UNSHARE, "--kill-child=KILL", *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def ctl(self, *arguments: str) -> str:
        """What `supervisorctl ARGUMENTS` prints."""
        command = [str(program("supervisorctl")), "-c", f"{self.root}/supervisord.conf", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def states(self) -> dict[str, str]:
        """The state of each worker by its name, from the socket that supervisorctl asks too, but at once."""
        asked = http.client.HTTPConnection("localhost")
        with contextlib.closing(asked), contextlib.suppress(OSError):
            asked.sock = socket.socket(socket.AF_UNIX)
            asked.sock.connect(f"{self.root}/socket")
            asked.request("POST", "/RPC2", xmlrpc.client.dumps((), "supervisor.getAllProcessInfo"))
            answered: Any = xmlrpc.client.loads(asked.getresponse().read())[0]
            return {one["name"]: one["statename"] for one in answered[0]}
        return {}

    def started(self) -> list[Path]:
        """What each worker that was started so far was given."""
        return sorted(self.root.glob("given.[0-9]*"))


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """Two workers."""
    with Supervisor(tmp_path, workers=2) as running:
        wait_until(lambda: len(running.started()) == 2, seconds=60, what="two workers")
        yield running


def settings() -> configparser.SectionProxy:
    """The one program of the file."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    parser.read(FILE)
    assert parser.sections() == ["program:cronq-work"]
    return parser["program:cronq-work"]


def test_worker_gets_the_time_to_end_that_it_gives_its_jobs() -> None:
    assert int(settings()["stopwaitsecs"]) > SHUTDOWN_GRACE + 10


def test_command_is_the_installed_one() -> None:
    assert shlex.split(settings()["command"]) == ["/usr/bin/cronq", "work"]


@pytest.mark.needs("supervisor")
def test_workers_are_told_whose_they_are_and_wanted_again_after_they_ended(supervisor: Supervisor) -> None:
    words, umask, *environment = supervisor.started()[0].read_text().splitlines()
    assert (words, umask) == ("work", "0027")
    assert {f"HOME={supervisor.root}", "USER=cronq", "LOGNAME=cronq"} <= set(environment)
    wait_until(lambda: [*supervisor.states().values()] == ["RUNNING"] * 2, seconds=60, what="two workers that stay")
    assert {line.split()[0] for line in supervisor.ctl("status").splitlines()} == {
        "cronq-work:cronq-work-0",
        "cronq-work:cronq-work-1",
    }
    (supervisor.root / "end").touch()
    wait_until(lambda: len(supervisor.started()) == 3, seconds=60, what="another worker")


@pytest.mark.needs("supervisor")
def test_workers_are_told_to_end_by_sigterm(supervisor: Supervisor) -> None:
    wait_until(supervisor.states, seconds=60, what="a supervisord that can be asked")
    assert supervisor.ctl("stop", "cronq-work:*").count("stopped") == 2
    assert (supervisor.root / "signals").read_text() == "told\ntold\n"
