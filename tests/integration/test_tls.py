"""TLS with certificates of a CA of our own: on where others could listen, checked where that is asked for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from cronq.config.loader import from_database
from cronq.storage.drivers.opening import open_database
from daemons.databases import SERVERS
from tests import databases, scale, servers
from tests.project import Project

OURS, ELSEWHERE, NOT_IN_CERTIFICATE = "127.0.0.1", "127.0.0.2", "127.0.0.3"
"""Loopback addresses, of which cronq knows only the first to be this host's; the certificate is for the second."""

ADDRESSES = f"{OURS},{ELSEWHERE},{NOT_IN_CERTIFICATE}"
OPTIONS = {
    "mysql": [
        f"--bind-address={ADDRESSES}",
        *("--ssl-ca={0}/ca.crt", "--ssl-cert={0}/server.crt", "--ssl-key={0}/server.key"),
    ],
    "postgresql": [
        "-h", ADDRESSES, "-c", "ssl=on", "-c", "ssl_cert_file={0}/server.crt", "-c", "ssl_key_file={0}/server.key",
    ],
}  # fmt: skip
USER = {
    "mysql": [f"CREATE USER shop@'{OURS}' IDENTIFIED BY 'geheim'", f"GRANT ALL ON *.* TO shop@'{OURS}'"],
    "postgresql": ["CREATE ROLE shop SUPERUSER LOGIN PASSWORD 'geheim'"],
}
ENCRYPTED = {
    "mysql": "SHOW SESSION STATUS WHERE variable_name = 'Ssl_cipher' AND value <> ''",
    "postgresql": "SELECT 1 FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl",
}
CHECKED = {
    "mysql": "?ssl_ca={0}&ssl_verify_identity=true",
    "postgresql": "?sslmode=verify-full&sslrootcert={0}",
}
OFF = {"mysql": "?ssl_disabled=true", "postgresql": "?sslmode=disable"}


def openssl(place: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=place, check=True, capture_output=True)


def certificates(place: Path) -> None:
    """An authority, one that no client trusts, and a certificate of the first for the server."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("ca", "other"):
        openssl(place, "req", "-x509", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt")
    openssl(place, "req", *key, "-subj", "/CN=server", "-keyout", "server.key", "-out", "server.csr")
    (place / "extensions").write_text(f"subjectAltName=IP:{ELSEWHERE}\n")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extensions")
    openssl(place, "x509", "-req", "-in", "server.csr", *signed, "-out", "server.crt")


def family(kind: str) -> str:
    return "mysql" if kind == "mariadb" else kind


class Encrypting(NamedTuple):
    """A server with a certificate, and the directory of its authority."""

    kind: str
    server: databases.Running
    place: Path

    def url(self, host: str, options: str = "") -> str:
        plain, _, _ = self.server.url(self.server.server.own_database).partition("?")
        return re.sub("//[^@]*@[^:]*", f"//shop:geheim@{host}", plain) + options

    def is_encrypted(self, host: str, options: str = "") -> bool:
        database = open_database(from_database(self.url(host, options)))
        answer = database.query(ENCRYPTED[self.family])
        database.close()
        return bool(answer)

    @property
    def family(self) -> str:
        return family(self.kind)

    def checked(self, authority: str) -> str:
        return CHECKED[self.family].format(self.place / authority)


@pytest.fixture(scope="module", params=scale.engines("mysql", "postgresql", of=databases.KINDS))
def encrypting(request: pytest.FixtureRequest) -> Iterator[Encrypting]:
    kind = request.param
    for name in (kind, "openssl"):
        servers.require(name)
    place = Path(tempfile.mkdtemp(prefix="cronq-tls-"))
    place.chmod(0o755)
    try:
        certificates(place)
        if os.geteuid() == 0 and (user := SERVERS[kind].user):
            shutil.chown(place / "server.key", user)
        with databases.private(kind, *(option.format(place) for option in OPTIONS[family(kind)])) as server:
            server.execute(*USER[family(kind)])
            yield Encrypting(kind, server, place)
    finally:
        shutil.rmtree(place)


def test_it_is_on_where_others_could_listen(encrypting: Encrypting) -> None:
    assert not encrypting.is_encrypted(OURS)
    assert encrypting.is_encrypted(ELSEWHERE)
    assert not encrypting.is_encrypted(ELSEWHERE, OFF[encrypting.family])


def test_a_certificate_is_checked(encrypting: Encrypting) -> None:
    assert encrypting.is_encrypted(ELSEWHERE, encrypting.checked("ca.crt"))


@pytest.mark.parametrize(
    ("host", "authority", "status", "said"),
    [
        (ELSEWHERE, "other.crt", 69, "certificate"),
        (NOT_IN_CERTIFICATE, "ca.crt", 69, NOT_IN_CERTIFICATE),
        (ELSEWHERE, "missing.crt", None, "missing.crt"),
    ],
)
def test_a_certificate_is_refused_at_once(
    encrypting: Encrypting, project: Project, host: str, authority: str, status: int | None, said: str
) -> None:
    url = encrypting.url(host, encrypting.checked(authority))
    for command in ("ls", "run"):
        began = time.monotonic()
        ran = project.cronq(command, env={"CRONQ_DATABASE": url})
        assert time.monotonic() - began < 25, "it was tried again and again"
        assert ran.status in ({status} if status else {69, 78})
        assert said in ran.stderr
        assert (ran.stdout, ran.stderr.count("\n"), "geheim" in ran.stderr) == ("", 1, False), ran


@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
def test_a_server_without_tls_is_refused_at_once(kind: str, project: Project) -> None:
    servers.require(kind)
    plain, _, _ = databases.shared(kind).url("any").partition("?")
    _is_refused_at_once(plain, "ssl_disabled" if kind == "mariadb" else "sslmode", project)


@pytest.mark.parametrize("encrypting", ["mysql"], indirect=True)
def test_a_mysql_that_was_told_to_do_without_tls_is_refused_at_once(encrypting: Encrypting, project: Project) -> None:
    """By itself MySQL has TLS."""
    encrypting.server.execute("SET GLOBAL tls_version = ''", "ALTER INSTANCE RELOAD TLS NO ROLLBACK ON ERROR")
    try:
        _is_refused_at_once(encrypting.url(OURS), "ssl_disabled", project)
    finally:
        encrypting.server.execute("SET GLOBAL tls_version = DEFAULT", "ALTER INSTANCE RELOAD TLS")


def _is_refused_at_once(url: str, said: str, project: Project) -> None:
    began = time.monotonic()
    ran = project.cronq("ls", env={"CRONQ_DATABASE": url.replace(OURS, "127.1")})
    assert time.monotonic() - began < 25, "it was tried again and again"
    assert (ran.status, ran.stderr.count("\n")) == (69, 1), ran
    assert said in ran.stderr
