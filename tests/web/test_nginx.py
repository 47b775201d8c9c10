"""The location that `cronq print-config nginx` prints, in a real nginx with TLS before a real `cronq web`."""

from __future__ import annotations

import base64
import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from cronq.config.loader import Config
from cronq.model.job import NewJob
from cronq.store import Store
from tests.project import ROOT
from tests.servers import program
from tests.waiting import wait_until
from tests.web.browsing import serving
from tests.web.conftest import enqueued

pytestmark = [pytest.mark.needs("nginx"), pytest.mark.needs("openssl")]

LOCATION = ROOT / "packaging" / "nginx" / "cronq-web.conf"
NAME = "ops.example.org"
NGINX = """\
daemon off;
{user}
pid {root}/nginx.pid;
error_log {root}/error.log;
events {{}}
http {{
    access_log off;
    {places}
    {zone}
    server {{
        listen unix:{root}/tls.sock ssl;
        server_name {name};
        ssl_certificate {root}/{name}.crt;
        ssl_certificate_key {root}/{name}.key;
        include {root}/cronq-web.conf;
    }}
}}
"""
PLACES = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Answer(NamedTuple):
    """What a browser gets."""

    status: int
    headers: http.client.HTTPMessage
    text: str


class Visitor:
    """A browser at the TLS side of nginx."""

    def __init__(self, root: Path) -> None:
        self._socket = str(root / "tls.sock")
        self._trusted = ssl.create_default_context(cafile=str(root / f"{NAME}.crt"))

    def ask(self, path: str, *, body: str | None = None, host: str = NAME, **headers: str) -> Answer:
        connection = http.client.HTTPConnection(NAME, timeout=60)
        plain = socket.socket(socket.AF_UNIX)
        plain.connect(self._socket)
        connection.sock = self._trusted.wrap_socket(plain, server_hostname=NAME)
        form = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request("GET" if body is None else "POST", path, body, {"Host": host, **form, **given})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read().decode())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a certificate and its key."""
    place = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}",
         "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", f"{NAME}.key", "-out", f"{NAME}.crt"],
        cwd=place, check=True, capture_output=True,
    )  # fmt: skip
    return place


@pytest.fixture
def root(tmp_path: Path, certificate: Path) -> Path:
    """A directory for nginx, with a certificate."""
    shutil.copytree(certificate, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def nginx(root: Path) -> Iterator[Visitor]:
    """A browser before nginx with the location as it is printed."""
    yield from running(root)


@pytest.fixture
def nginx_with_passwords(root: Path) -> Iterator[Visitor]:
    """The same with the lines for nginx's own passwords."""
    yield from running(root, passwords=True)


@pytest.fixture
def nginx_with_a_rate(root: Path) -> Iterator[Visitor]:
    """The same with the lines that bound the requests of an address."""
    yield from running(root, rate=True)


def located(root: Path, *, passwords: bool, rate: bool) -> str:
    """Write the printed location, with this server's socket, the test's passwords and rate; the line for http {}."""
    text = LOCATION.read_text().replace("/run/cronq-web/web.sock", str(root / "web.sock"))
    assert str(root / "web.sock") in text
    if passwords:
        text = re.sub(r"# (auth_basic|proxy_set_header X-Remote-User)", r"\1", text)
        text = text.replace("/etc/nginx/cronq.htpasswd", str(root / "cronq.htpasswd"))
        (root / "cronq.htpasswd").write_text("ann:{PLAIN}a\nbob:{PLAIN}b\n")
    if rate:
        text = re.sub(r"# (limit_req(_status)? )", r"\1", text)
    (root / "cronq-web.conf").write_text(text)
    zone = re.search(r"# (limit_req_zone .*;)", text)
    assert zone
    return zone[1].replace("20r/s", "1r/m") if rate else ""  # so slow that the test needn't be quick


def running(root: Path, *, passwords: bool = False, rate: bool = False) -> Iterator[Visitor]:
    """Run nginx until the test ends."""
    zone = located(root, passwords=passwords, rate=rate)
    user = "user root;" if os.geteuid() == 0 else ""
    places = " ".join(f"{name}_temp_path {root}/{name};" for name in PLACES)
    (root / "nginx.conf").write_text(NGINX.format(root=root, name=NAME, user=user, places=places, zone=zone))
    command = [str(program("nginx")), "-e", "stderr", "-p", str(root), "-c", str(root / "nginx.conf")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=60, check=False)
    assert (checked.returncode, "warn" in checked.stderr) == (0, False), checked.stderr
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until((root / "tls.sock").exists, what="nginx")
            yield Visitor(root)
        finally:
            server.terminate()


def settings(root: Path, text: str) -> tuple[str, ...]:
    """The options of the packaged unit, and one for a configuration with this in [web]."""
    (root / "cronq.toml").write_text(f'[web]\nhosts = ["{NAME}"]\n{text}')
    return f"--bind=unix:{root}/web.sock", "--prefix=/cronq", f"--config={root / 'cronq.toml'}"


def test_the_pages_are_served_below_a_path_with_tls(root: Path, nginx: Visitor, config: Config, store: Store) -> None:
    enqueued(store, NewJob("add"))
    with serving(Path(config.sqlite_path() or ""), *settings(root, "")) as said:
        token = said.rpartition("=")[2]
        assert nginx.ask("/cronq/health").text == "ok\n"
        assert nginx.ask("/cronq/").status == 403
        assert nginx.ask("/cronq/health", host="evil.example").status == 421
        entered = nginx.ask(f"/cronq/jobs?token={token}")
        assert (entered.status, entered.headers["Location"]) == (302, "/cronq/jobs")
        cookie = entered.headers["Set-Cookie"]
        assert "Secure" in cookie  # the proxy says that the browser came over TLS
        page = nginx.ask("/cronq/jobs", Cookie=cookie.partition(";")[0])
        assert 'href="/cronq/jobs/1"' in page.text
        found = re.search(r'src="(/cronq/static/[^"]+)"', page.text)
        assert found
        assert nginx.ask(found[1]).status == 200
        csrf = re.search(r'name="csrf" content="([^"]+)"', page.text)
        assert csrf
        form = f"csrf={csrf[1]}&id=1&count=1&confirmed=yes"
        session = page.headers["Set-Cookie"].partition(";")[0]
        refused = nginx.ask("/cronq/act/cancel", body=form, Cookie=session, Origin="https://evil.example")
        assert refused.status == 403
        done = nginx.ask("/cronq/act/cancel", body=form, Cookie=session, Origin=f"https://{NAME}")
        assert done.status == 303
        assert done.headers["Location"].startswith("/cronq/done/")
    assert store.jobs.get(1).state == "cancelled"  # type: ignore[union-attr]


def password(name: str, word: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{word}".encode()).decode()


AUTH = 'auth = "header"\nproxies = ["unix"]\nact = ["ann"]\n'


@pytest.mark.usefixtures("store")
def test_no_client_gives_itself_a_name_past_nginx(root: Path, nginx: Visitor, config: Config) -> None:
    with serving(Path(config.sqlite_path() or ""), *settings(root, AUTH)):
        assert nginx.ask("/cronq/").status == 403
        assert nginx.ask("/cronq/", X_Remote_User="ann").status == 403


@pytest.mark.usefixtures("store")
def test_nginx_names_the_user_whose_password_it_checked(
    root: Path, nginx_with_passwords: Visitor, config: Config
) -> None:
    nginx = nginx_with_passwords
    with serving(Path(config.sqlite_path() or ""), *settings(root, AUTH)):
        assert nginx.ask("/cronq/").status == 401
        assert nginx.ask("/cronq/", Authorization=password("ann", "x"), X_Remote_User="ann").status == 401
        ann = nginx.ask("/cronq/", Authorization=password("ann", "a"))
        assert ann.status == 200
        assert re.search(r"<footer>.*· ann</p>", ann.text, re.DOTALL)
        bob = nginx.ask("/cronq/", Authorization=password("bob", "b"), X_Remote_User="ann")
        assert re.search(r"<footer>.*· bob \(read-only\)</p>", bob.text, re.DOTALL)


@pytest.mark.usefixtures("store")
def test_nginx_bounds_the_requests_of_an_address(root: Path, nginx_with_a_rate: Visitor, config: Config) -> None:
    with serving(Path(config.sqlite_path() or ""), *settings(root, "")):
        statuses = [nginx_with_a_rate.ask("/cronq/health").status for _ in range(50)]
    assert statuses[:41] == [200] * 41
    assert statuses.count(429) >= 5
