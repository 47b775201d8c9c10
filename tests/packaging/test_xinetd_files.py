"""packaging/xinetd.d: a real xinetd takes the files without a complaint and gives a server what it needs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.packaging.xinetd import PACKAGED, Xinetd
from tests.project import COMMAND, Project
from tests.waiting import wait_until

FILES = sorted(path.name for path in PACKAGED.iterdir())

PROBE = """\
#!/bin/sh
echo "$*"; umask; env
"""


@pytest.fixture
def probe(tmp_path: Path) -> Path:
    """A server that tells what it was given."""
    path = tmp_path / "probe"
    path.write_text(PROBE)
    path.chmod(0o755)
    return path


def attributes(name: str) -> dict[str, str]:
    """The attributes in a file."""
    return dict(re.findall(r"^\t(\w+)\s+= ?(.*)$", (PACKAGED / name).read_text(), re.MULTILINE))


def test_names_are_such_that_an_includedir_reads_them() -> None:
    assert FILES == ["cronq", "cronq-listen"]


def test_one_of_the_files_is_enabled() -> None:
    assert [name for name in FILES if attributes(name)["disable"] == "no"] == ["cronq"]


@pytest.mark.parametrize("name", FILES)
def test_only_this_host_can_connect(name: str) -> None:
    assert attributes(name)["bind"] == "127.0.0.1"
    # A service that waits is started before anybody is accepted: xinetd has no address to compare.
    assert attributes(name).get("only_from") == ("127.0.0.1" if attributes(name)["wait"] == "no" else None)


@pytest.mark.needs("xinetd")
@pytest.mark.parametrize("name", FILES)
def test_xinetd_offers_the_service_and_complains_of_nothing(name: str, probe: Path, tmp_path: Path) -> None:
    with Xinetd(tmp_path, server=probe, home=tmp_path, file=name) as xinetd:
        log = xinetd.log()
    assert "1 available service\n" in log
    assert not re.search("ERROR|WARNING|CRITICAL", log), log


@pytest.mark.needs("xinetd")
def test_server_gets_what_cron_would_give_and_nothing_of_xinetds_own(
    probe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_XINETD", "leak")
    with Xinetd(tmp_path, server=probe, home=tmp_path) as xinetd, xinetd.connect() as client:
        words, umask, *environment = client.makefile().read().splitlines()
    given = dict(line.split("=", 1) for line in environment)
    assert (words, umask) == ("serve-inetd", "0027")
    assert given.pop("REMOTE_HOST").endswith("127.0.0.1")
    assert given.pop("PATH").split(":")[-2:] == ["/sbin", "/bin"]
    assert given.pop("PWD") == "/"
    assert given == {"HOME": str(tmp_path), "USER": "cronq", "LOGNAME": "cronq"}


@pytest.mark.needs("xinetd")
@pytest.mark.parametrize("name", FILES)
def test_job_is_started_for_whoever_connects(name: str, project: Project) -> None:
    server = project.write("cronq", f'#!/bin/sh\ncd {project.directory}\nexec {shlex.join(COMMAND)} "$@"\n')
    server.chmod(0o755)
    jobs = [project.enqueue("say", "text=hello") for _ in range(2)]
    with Xinetd(project.directory, server=server, home=project.home, file=name) as xinetd:
        for job in jobs:
            with xinetd.connect() as client:
                client.sendall(f"{job}\n".encode())
                assert client.makefile("rb").read() == f"OK {job}\n".encode()
        wait_until(lambda: {job["state"] for job in project.jobs()} == {"finished"}, seconds=60, what="both jobs")
