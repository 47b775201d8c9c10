"""What tests need from the machine beyond Python: who has it, who hasn't, and why.

A test says `@pytest.mark.needs("cron")`. At home it is skipped where that is missing;
with CI=true it fails, so that nothing goes untested unnoticed.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
from collections.abc import Callable

import pytest

from daemons import brokers
from daemons.programs import program as program

UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--mount-proc")
"""Runs a command in private mount and pid namespaces: all that it starts dies with it."""


def required() -> bool:
    """Whether a missing server is a failure."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def missing(name: str) -> str | None:
    """Why `name` can't be used here, or None when it can."""
    if name not in _FINDERS:
        raise LookupError(f"tests/servers.py knows no {name!r}: one of {', '.join(sorted(_FINDERS))}")
    return _FINDERS[name]()


def require(name: str) -> None:
    """Skip the test where `name` can't be used; in CI that is a failure."""
    if reason := missing(name):
        refuse = pytest.fail if required() else pytest.skip
        refuse(f"needs {name}: {reason}")


def _root() -> str | None:
    return None if os.geteuid() == 0 else "must be root"


@functools.cache
def _namespaces() -> str | None:
    """Mounts and processes of its own, so that a test can lay its files over the machine's."""
    if _root():
        return _root()
    if program("unshare") is None:
        return "unshare (util-linux) is not installed"
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"unshare: {tried.stderr.strip()}"


def _installed(name: str) -> str | None:
    return None if program(name) else f"{name} is not installed"


def _cron() -> str | None:
    return _installed("cron") or _namespaces()


def _mariadb() -> str | None:
    return _installed("mariadbd") or _installed("mariadb-install-db")


def _postgresql() -> str | None:
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed"
    return _installed("initdb") or _installed("postgres")


_FINDERS: dict[str, Callable[[], str | None]] = {
    "beanstalkd": functools.partial(brokers.missing, "beanstalkd"),
    "cron": _cron,
    "mariadb": _mariadb,
    "namespaces": _namespaces,
    "postgresql": _postgresql,
    "rabbitmq": functools.partial(brokers.missing, "rabbitmq"),
    "redis": functools.partial(brokers.missing, "redis"),
    "redis-server": functools.partial(_installed, "redis-server"),
    "root": _root,
    "sqs": functools.partial(brokers.missing, "sqs"),
}
