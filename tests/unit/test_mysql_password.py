"""MySQL 8 wants some passwords themselves, which PyMySQL refuses to send in the clear: no such server runs here."""

from __future__ import annotations

from typing import Any

import pymysql
import pytest

from cronq.config.database_url import parse
from cronq.errors import ConfigError
from cronq.storage.drivers import mysql


class Reached(Exception):
    """The second connection was asked for."""


def connect_only_with_tls(**options: Any) -> None:
    if "ssl" not in options:
        raise RuntimeError("'cryptography' package is required for sha256_password")
    assert "ssl_disabled" not in options
    raise Reached


def test_on_this_host_tls_is_taken_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pymysql, "connect", connect_only_with_tls)
    with pytest.raises(Reached):
        mysql.connect(parse("mysql://shop:geheim@127.0.0.1/shop"))


def test_where_tls_is_ruled_out_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pymysql, "connect", connect_only_with_tls)
    with pytest.raises(ConfigError, match="leave out `ssl_disabled`"):
        mysql.connect(parse("mysql://shop:geheim@db/shop?ssl_disabled=true"))
