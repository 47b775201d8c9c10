"""The server that `cronq web` starts, over real connections."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cronq.config.loader import Config
from cronq.model.job import NewJob
from cronq.store import Store
from tests.project import Project
from tests.web.browsing import serving
from tests.web.conftest import enqueued

SLOW = 300
"""Connections that say nothing: more than the threads, and than waitress takes at once by itself."""


def get(address: str, path: str, headers: dict[str, str] | None = None) -> int:
    """The status of an answer."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    try:
        connection.request("GET", path, headers=headers or {})
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_address_signs_in_and_silent_connections_keep_no_visitor_out(config: Config, store: Store) -> None:
    enqueued(store, NewJob("add"))
    with serving(Path(config.sqlite_path() or "")) as address:
        place = urlsplit(address)
        assert get(address, f"/?{place.query}") == 302
        assert get(address, "/") == 403
        assert get(address, "/health") == 200
        assert get(address, "/health", {"Host": "evil.example"}) == 421
        assert get(address, "/" + "a" * 100_000) in (400, 414, 431)
        silent = [socket.create_connection((place.hostname or "", place.port or 0)) for _ in range(SLOW)]
        for one in silent:
            one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        began = time.monotonic()
        assert get(address, "/health") == 200
        assert time.monotonic() - began < 50
        for one in silent:
            one.close()


def test_a_socket_is_not_open_to_everybody(config: Config, store: Store, tmp_path: Path) -> None:
    enqueued(store, NewJob("add"))
    path = tmp_path / "web.sock"
    with serving(Path(config.sqlite_path() or ""), f"--bind=unix:{path}", "--prefix=/cronq") as said:
        assert said.startswith(f"unix:{path} /cronq/?token=")
        assert path.stat().st_mode & 0o007 == 0
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(b"GET /cronq/health HTTP/1.0\r\nHost: localhost\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.0 200")
    assert not path.exists()


@pytest.mark.parametrize("claim", ["X-Forwarded-For: 10.1.2.3", "Forwarded: for=10.1.2.3", "X-Real-IP: 10.1.2.3"])
@pytest.mark.usefixtures("store")
def test_a_client_that_claims_to_be_the_proxy_is_not_believed(config: Config, tmp_path: Path, claim: str) -> None:
    settings = tmp_path / "cronq.toml"
    settings.write_text('[web]\nauth = "header"\nproxies = ["10.0.0.0/8"]\n')
    name, _, value = claim.partition(": ")
    with serving(Path(config.sqlite_path() or ""), f"--config={settings}") as address:
        assert get(address, "/", {"X-Remote-User": "ann", name: value}) == 403
        assert get(address, "/", {"X_Remote_User": "ann", name: value}) == 403


WITHOUT = """
import os, sys
from cronq.cli import main
for missing in ("flask", "waitress"):
    if os.fork() == 0:
        sys.modules[missing] = None
        sys.exit(main(["web"]))
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


def test_without_the_extra_the_command_says_how_to_get_it(project: Project) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT], cwd=project.directory, env=project.environment, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert ran.stdout == "78\n78\n"
    told = [f"cronq: cronq web needs {missing}: pip install 'cronq-jobs[web]'" for missing in ("flask", "waitress")]
    assert ran.stderr.splitlines() == told


def test_no_other_command_imports_the_pages(project: Project, config: Config, store: Store) -> None:
    program = (
        f"import sys; from cronq.cli import main; main(['--db', 'sqlite:///{config.sqlite_path()}', 'status']);"
        " sys.exit(any(name.startswith('cronq.web') or name == 'flask' for name in sys.modules))"
    )
    enqueued(store, NewJob("add"))
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=project.directory, env=project.environment, timeout=60, check=False,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert "default" in ran.stdout, ran
    assert ran.returncode == 0
