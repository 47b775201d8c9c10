"""MySQL and MariaDB as strict administrators set them: what passes is waited for, what stays says the way out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from cronq.config.loader import Config, from_database
from cronq.errors import ConfigError, Unavailable
from cronq.storage.drivers.opening import open_database
from cronq.storage.migrations import upgrade
from cronq.store import Store
from cronq.times import Clock
from tests import databases, servers
from tests.contract.steps import claim, new, put
from tests.project import Project
from tests.waiting import wait_until


class Strict:
    """A server of these tests, and its administrator."""

    def __init__(self, server: databases.Running, place: Path) -> None:
        self.server = server
        self.place = place
        self.root = pymysql.connect(unix_socket=str(server.place / "socket"), user="root", autocommit=True)
        self.set(
            "CREATE DATABASE jobs",
            "CREATE USER shop@localhost IDENTIFIED BY 'geheim'",
            "GRANT ALL ON jobs.* TO shop@localhost",
        )
        upgrade(self.config())

    def set(self, *statements: str) -> None:
        with self.root.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def config(self, options: str = "", *, patience: str = "20s") -> Config:
        url = f"mysql://shop:geheim@127.0.0.1:{self.server.port}/jobs{options}"
        return from_database(url).with_values("the test", lock_dir=str(self.place), patience=patience)


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def strict(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strict]:
    servers.require(request.param)
    with databases.private(request.param) as server:
        strict = Strict(server, tmp_path_factory.mktemp("locks"))
        yield strict
        strict.root.close()


def ask(config: Config) -> Any:
    database = open_database(config)
    try:
        return database.query("SELECT 1")
    finally:
        database.close()


def test_settings_for_people_at_a_prompt_do_not_hold_here(strict: Strict, project: Project) -> None:
    strict.set("SET GLOBAL sql_safe_updates = 1, GLOBAL sql_select_limit = 50, GLOBAL max_join_size = 10")
    try:
        with Store(strict.config(), Clock()) as store:
            put(store, *(new("t") for _ in range(301)))
        environment = {"CRONQ_DATABASE": strict.config().database}
        cancelled = project.cronq("cancel", "--state", "ready", "--yes", env=environment)
        assert (cancelled.status, cancelled.stdout.count("\n")) == (0, 301), cancelled
        put_again = project.cronq("enqueue", "add", "a=1", "b=2", "--group", "g", env=environment)
        ran = project.cronq("run", env=environment)
        assert (ran.status, ran.stderr) == (0, ""), ran
        assert project.cronq("wait", put_again.stdout.strip(), env=environment).status == 0
        assert project.cronq("clear-finished", "--state", "cancelled", env=environment).stdout == "302\n"
    finally:
        strict.set("SET GLOBAL sql_safe_updates = 0, GLOBAL sql_select_limit = DEFAULT, GLOBAL max_join_size = DEFAULT")


class Later(threading.Thread):
    """A question to the database that waits for something."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.answer: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = ask(self.config)
        except Unavailable as error:
            self.answer = error

    def ended(self) -> Any:
        self.join(60)
        return self.answer


def refused(strict: Strict) -> int:
    with strict.root.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Aborted_connects'")
        return int(cursor.fetchall()[0][1])


@pytest.mark.parametrize("strict", ["mysql"], indirect=True)
def test_offline_mode_is_waited_for(strict: Strict) -> None:
    strict.set("SET GLOBAL offline_mode = ON")
    before = refused(strict)
    later = Later(strict.config())
    wait_until(lambda: refused(strict) > before + 1 or later.answer, what="it was refused more than once")
    strict.set("SET GLOBAL offline_mode = OFF")
    assert later.ended() == [(1,)]


def test_a_user_with_too_many_connections_waits(strict: Strict) -> None:
    strict.set("ALTER USER shop@localhost WITH MAX_USER_CONNECTIONS 1")
    try:
        first = open_database(strict.config())
        first.query("SELECT 1")
        later = Later(strict.config())
        later.join(0.5)
        assert later.answer is None
        first.close()
        assert later.ended() == [(1,)]
    finally:
        strict.set("ALTER USER shop@localhost WITH MAX_USER_CONNECTIONS 0")


def test_doctor_says_so_where_no_more_connections_are_allowed(strict: Strict, project: Project) -> None:
    project.write("cronq.toml", f'database = "{strict.config().database}"\n')
    strict.set("ALTER USER shop@localhost WITH MAX_USER_CONNECTIONS 1")
    try:
        first = open_database(strict.config())
        first.query("SELECT 1")
        _, worst, do = project.cronq("doctor").stdout.splitlines()[:3]
        first.close()
    finally:
        strict.set("ALTER USER shop@localhost WITH MAX_USER_CONNECTIONS 0")
    assert worst.startswith("PROBLEM database: ")
    assert "this user has used up what the server allows it" in worst
    assert "raise the limit (`max_connections`, or the user's)" in do


@pytest.mark.parametrize("strict", ["mariadb"], indirect=True)
def test_a_statement_that_took_longer_than_allowed_is_tried_again(strict: Strict) -> None:
    strict.set("SET GLOBAL max_statement_time = 0.2")
    beside = pymysql.connect(unix_socket=str(strict.server.place / "socket"), user="root", database="jobs")
    try:
        with Store(strict.config(), Clock()) as store:
            (job,) = put(store, new("t"))
            beside.cursor().execute("UPDATE cronq_jobs SET priority = 1")
            rollback = threading.Timer(1.0, beside.rollback)
            rollback.start()
            assert [one.id for one in claim(store)] == [job]
            rollback.join()
    finally:
        strict.set("SET GLOBAL max_statement_time = 0")
        beside.close()


# --- Passwords and TLS


@pytest.fixture
def demanding(strict: Strict) -> Iterator[Strict]:
    """A server with TLS, as MySQL is by itself."""
    yield strict
    strict.set("SET GLOBAL require_secure_transport = OFF", "ALTER USER shop@localhost REQUIRE NONE")


@pytest.mark.parametrize("strict", ["mysql"], indirect=True)
def test_a_server_that_requires_tls_gets_it_on_the_loopback_too(demanding: Strict) -> None:
    demanding.set("SET GLOBAL require_secure_transport = ON")
    assert ask(demanding.config()) == [(1,)]
    with pytest.raises(Unavailable, match="takes only TLS: leave out `ssl_disabled`"):
        ask(demanding.config("?ssl_disabled=true"))


@pytest.mark.parametrize("strict", ["mysql"], indirect=True)
def test_a_user_who_has_to_use_tls_is_told_how(demanding: Strict) -> None:
    demanding.set("ALTER USER shop@localhost REQUIRE SSL")
    with pytest.raises(Unavailable, match=r"if the user has to use TLS, `\?ssl_verify_cert=false`"):
        ask(demanding.config())
    assert ask(demanding.config("?ssl_verify_cert=false")) == [(1,)]


@pytest.mark.parametrize("strict", ["mysql"], indirect=True)
def test_a_password_that_neither_tls_nor_cryptography_can_carry(
    strict: Strict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pymysql._auth._have_cryptography", False)
    # The server doesn't know the password of this one yet; of whom it does, it asks less.
    strict.set("CREATE USER stranger@localhost IDENTIFIED BY 'geheim'", "GRANT ALL ON jobs.* TO stranger@localhost")
    strict.set("SET GLOBAL tls_version = ''", "ALTER INSTANCE RELOAD TLS NO ROLLBACK ON ERROR")
    try:
        url = f"mysql://stranger:geheim@127.0.0.1:{strict.server.port}/jobs"
        for options in ("", "?ssl_disabled=true"):
            with pytest.raises(ConfigError, match="pip install cryptography"):
                ask(from_database(url + options))
        with pytest.raises(Unavailable, match="pip install cryptography"):
            ask(from_database(url + "?ssl_verify_cert=false"))
    finally:
        strict.set("SET GLOBAL tls_version = DEFAULT", "ALTER INSTANCE RELOAD TLS")
