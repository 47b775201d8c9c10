"""Database URLs: taken apart as SQLAlchemy does, and never shown with a password."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from cronq.config.database_url import FAMILIES, file_scheme, parse, without_password

URLS = [
    "mysql+pymysql://shop:geheim@db.example.org:3307/shop",
    "mysql://shop@db/shop?charset=utf8mb4",
    "mariadb+pymysql://shop:p%40ss%2Fw%C3%B6rd@db/shop",
    "postgresql+psycopg://shop:with:colon@[::1]:5433/shop",
    "postgresql://shop:pass/word?x@db/shop?sslmode=require&application_name=a%20b",
    "postgresql://:only@/shop?host=/run/postgresql",
    "mysql+pymysql:///shop?unix_socket=/run/mysqld/mysqld.sock",
    "mysql://shop:100%@db/shop",
    "mysql://shop:%zz%4@db/shop",
    "mysql://shop:@db/shop",
    "sqlite:///relative.db",
    "sqlite:////var/lib/cronq/cronq.db",
]


@pytest.mark.parametrize("text", URLS)
def test_the_parts_are_those_of_sqlalchemy(text: str) -> None:
    url, reference = parse(text), make_url(text)
    assert url.scheme == reference.drivername
    assert (url.username or None, url.host or None) == (reference.username or None, reference.host or None)
    assert (url.password, url.port, url.name) == (reference.password, reference.port, reference.database)
    assert url.query == dict(reference.query)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cronq.db", "not a URL"),
        ("", "not a URL"),
        ("host=db password=geheim", "not a URL"),
        ("shop:geheim@db/shop", "not a URL"),
        ("mysql:shop:geheim@db/shop", "not a URL"),
        ("shop:geheim@mysql://db/shop", "not a URL"),
        ("sqlite3:///cronq.db", "unknown scheme 'sqlite3' .did you mean 'sqlite'"),
        ("postgres://shop:geheim@db/shop", "unknown scheme 'postgres' .did you mean 'postgresql'"),
        ("mysql+mysqldb://shop:geheim@db/shop", "unknown scheme 'mysql.mysqldb'"),
        ("oracle://shop:geheim@db/shop", "unknown scheme 'oracle', known are sqlite,"),
        ("sqlite://cronq.db", "three slashes"),
        ("sqlite://", "in memory"),
        ("sqlite:///", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:///cronq.db?mode=ro", "options"),
        ("sqlite:////var/lib/", "not the path of a file"),
        ("mysql://shop:ge@heim@db/shop", "written %40"),
        ("mysql://sh/op:geheim@db/shop", "written %2F"),
        ("mysql://shop:geheim@db", "name of the database is missing"),
        ("mysql://shop:geheim@db/", "name of the database is missing"),
        ("mysql://shop:geheim/shop", "port is not a number"),
        ("mysql://shop:x@db:geheim/shop", "port is not a number"),
        ("mysql://shop:x@db:99999/geheim", "port is not a number"),
        ("mysql://shop:x@db:0/geheim", "port is not a number"),
        ("mysql://shop:x@ge heim/shop", "host name"),
        ("mysql://shop:x@db/shop?geheim", "name=value"),
    ],
)
def test_a_wrong_url_is_refused_without_quoting_it(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refusal:
        parse(text)
    assert "geheim" not in str(refusal.value)
    assert "heim" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mysql://shop:geheim@db:3306/shop", "mysql://shop:***@db:3306/shop"),
        ("mysql://shop:ge%40he:i/m?@db/shop", "mysql://shop:***@db/shop"),
        ("mysql://shop@db/shop", "mysql://shop@db/shop"),
        ("mysql://:geheim@db/shop", "mysql://:***@db/shop"),
        (
            "postgresql://db/shop?user=a&password=geheim&sslmode=off",
            "postgresql://db/shop?user=a&password=***&sslmode=off",
        ),
        ("postgresql://db/shop?p%61ssword=geheim", "postgresql://db/shop?p%61ssword=***"),
        ("mysql://db/shop?PASSWD=geheim", "mysql://db/shop?PASSWD=***"),
        ("mysql://db/shop?auth_key=geheim&ssl_ca=/ca", "mysql://db/shop?auth_key=***&ssl_ca=/ca"),
        ("sqlite:////var/lib/cronq.db", "sqlite:////var/lib/cronq.db"),
    ],
)
def test_a_url_is_shown_without_its_password(text: str, shown: str) -> None:
    assert without_password(text) == shown
    assert "geheim" not in repr(parse(text))


@given(password=st.text(st.characters(exclude_characters="@", exclude_categories=["Cs"]), min_size=1))
def test_no_password_is_ever_shown(password: str) -> None:
    marked = f"geheim{password}geheim"
    text = f"mysql://shop:{marked}@db/shop"
    assert without_password(text) == "mysql://shop:***@db/shop"
    assert "geheim" not in repr(parse(text))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mysql://a:b@127.0.0.1/shop", "mariadb+pymysql://c@localhost:3306/shop?charset=utf8"),
        ("postgresql://a@[::1]/shop", "postgresql+psycopg:///shop"),
        ("postgresql://a@DB.example.org/shop", "postgresql://a@db.example.org:5432/shop"),
        (
            "postgresql:///shop?options=-csearch_path%3Done",
            "postgresql:///shop?options=-c%20search_path%3Done%2Cpublic",
        ),
        ("postgresql:///shop?options=--search-path%3Done", "postgresql://a@/shop?options=-csearch_path%3D%22one%22"),
        ("postgresql:///shop?options=-csearch_path%3Dpublic", "postgresql:///shop?options=-cjit%3Doff"),
        ("postgresql://a@/shop?options=-csearch_path%3D$user", "postgresql://b@/shop?options=-csearch_path%3Da"),
    ],
)
def test_the_same_database_has_the_same_identity(one: str, other: str) -> None:
    assert parse(one).identity() == parse(other).identity()


def test_other_databases_have_other_identities() -> None:
    urls = ["mysql://db/a", "mysql://db/b", "mysql://db2/a", "mysql://db:3307/a", "postgresql://db/a"]
    urls += ["mysql:///a?unix_socket=/run/a.sock", "mysql:///a?unix_socket=/run/b.sock"]
    urls += ["postgresql://db/a?options=-csearch_path%3Done", "postgresql://db/a?options=-csearch_path%3Dtwo"]
    assert len({parse(url).identity() for url in urls}) == len(urls)


def test_each_scheme_belongs_to_a_family() -> None:
    assert set(FAMILIES.values()) == {"sqlite", "mysql", "postgresql"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://h//?name=x&credential=geheim", "amqp://h//?name=x&credential=***"),
        ("amqp://u:geheim@h//?login=geheim", "amqp://u:***@h//?login=***"),
        ("sqs:///q?region=eu&endpoint=http://u:geheim%40h", "sqs:///q?region=eu&endpoint=***"),
        ("tcp://user:geheim@h:1", "tcp://user:***@h:1"),
    ],
)
def test_a_wake_up_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize("scheme", FAMILIES)
def test_a_database_is_a_file_or_on_a_server(scheme: str) -> None:
    is_file = parse(f"{scheme}:///queue.db" if scheme == "sqlite" else f"{scheme}://host/name").is_file
    assert is_file == (scheme == "sqlite")
    assert file_scheme(f"{scheme}:///name") == (f"{scheme}:///" if is_file else None)
