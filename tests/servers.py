"""Find what tests need from the machine beyond Python, and the reason if it is missing.

A test has the mark `@pytest.mark.needs("cron")`. If cron is missing, it is skipped; with CI=true it
fails, so that no test is skipped unnoticed.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from daemons import brokers, galera
from daemons.databases import MYSQL
from daemons.programs import UNPACKED, chromium
from daemons.programs import program as program

UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--mount-proc")
"""Runs a command in private mount and pid namespaces: all processes that it starts end with it."""

HOST = ("unshare", "--net", "--uts")
"""Runs a command as a host of its own: with a name of its own, and without a network until a test connects one."""

FAKETIME = next(map(str, Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
"""The path of the library of Debian's faketime; None if it isn't installed."""

BOOT = (*UNSHARE, "--cgroup", "--uts", "--ipc", "--net", "--kill-child=KILL")
"""Runs a command in namespaces of its own, in which it is process 1, as on a machine of its own."""


def required() -> bool:
    """Tell whether a missing server is a failure."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def missing(name: str) -> str | None:
    """Return why `name` can't be used here, or None if it can."""
    if name not in _REASONS:
        raise LookupError(f"tests/servers.py knows no {name!r}: one of {', '.join(sorted(_REASONS))}")
    return _REASONS[name]()


def require(name: str) -> None:
    """Skip the test if `name` can't be used; in CI, fail it."""
    if reason := missing(name):
        refuse = pytest.fail if required() else pytest.skip
        refuse(f"needs {name}: {reason}")


def _not_root() -> str | None:
    return None if os.geteuid() == 0 else "must be root"


@functools.cache
def _no_namespaces() -> str | None:
    """Return why a test can't have mounts and processes of its own, with files over the machine's; None if it can."""
    if _not_root():
        return _not_root()
    if program("unshare") is None:
        return "unshare (util-linux) is not installed"
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"unshare: {tried.stderr.strip()}"


def cgroup_root() -> Path | None:
    """Return the directory of the machine's control groups of version 2; None if it isn't mounted."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return next((Path(place) for _, place, kind, *_ in mounts if kind == "cgroup2"), None)


@functools.cache
def _no_systemd_boot() -> str | None:
    """Return why systemd can't be process 1 here, with its own groups and an overlay, or None if it can."""
    if (
        reason := _no_namespaces()
        or _not_installed("nsenter")
        or _not_installed("setpriv")
        or _not_installed("dbus-daemon")
    ):
        return reason
    if not Path("/lib/systemd/systemd").exists():
        return "systemd is not installed"
    root = cgroup_root()
    if root is None or not os.access(root, os.W_OK):
        return "no cgroup2 file system that could be written to"
    layers = "mount -t tmpfs t /mnt && mkdir /mnt/up /mnt/work /mnt/all && mount -t overlay"
    overlay = f"{layers} -o lowerdir=/,upperdir=/mnt/up,workdir=/mnt/work o /mnt/all"
    tried = subprocess.run([*BOOT, "sh", "-c", overlay], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"no overlay in namespaces: {tried.stderr.strip()}"


def _not_installed(name: str) -> str | None:
    return None if program(name) else f"{name} is not installed"


def _not_contained(name: str) -> str | None:
    return _not_installed(name) or _no_namespaces()


def _no_mariadb() -> str | None:
    return _not_installed("mariadbd") or _not_installed("mariadb-install-db")


def _no_mysql() -> str | None:
    return None if (MYSQL / "data").exists() else "MySQL is not unpacked: make setup"


def _no_postgresql() -> str | None:
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed"
    return _not_installed("initdb") or _not_installed("postgres")


@functools.cache
def _no_network() -> str | None:
    """Return why a test can't make hosts with a network and a name of their own; None if it can."""
    if _not_root():
        return _not_root()
    if program("ip") is None:
        return "ip (iproute2) is not installed"
    tried = subprocess.run(
        [*HOST, "ip", "link", "add", "cronq", "type", "bridge"], capture_output=True, text=True, check=False
    )
    return None if tried.returncode == 0 else f"no private networks: {tried.stderr.strip()}"


def _no_galera() -> str | None:
    return _no_mariadb() or _not_installed("rsync") or (None if galera.PROVIDER else "galera-4 is not installed")


def _no_faketime() -> str | None:
    return None if FAKETIME else "libfaketime is not installed"


OPENBSD_INETD = UNPACKED / "usr" / "sbin" / "inetd"
"""The path to which .ci/unpack-debian-packages unpacks openbsd-inetd: Debian can't install it beside xinetd."""


def _no_openbsd_inetd() -> str | None:
    return _no_namespaces() or (None if OPENBSD_INETD.exists() else "openbsd-inetd is not unpacked: make setup")


def _no_chromium() -> str | None:
    return None if chromium() else "chromium-headless-shell is not installed"


_REASONS: dict[str, Callable[[], str | None]] = {
    "beanstalkd": functools.partial(brokers.missing, "beanstalkd"),
    "chromium": _no_chromium,
    "cron": functools.partial(_not_contained, "cron"),
    "faketime": _no_faketime,
    "fish": functools.partial(_not_installed, "fish"),
    "lynx": functools.partial(_not_installed, "lynx"),
    "galera": _no_galera,
    "logrotate": functools.partial(_not_contained, "logrotate"),
    "mandoc": functools.partial(_not_installed, "mandoc"),
    "mariadb": _no_mariadb,
    "mysql": _no_mysql,
    "namespaces": _no_namespaces,
    "network": _no_network,
    "nginx": functools.partial(_not_installed, "nginx"),
    "openssl": functools.partial(_not_installed, "openssl"),
    "openbsd-inetd": _no_openbsd_inetd,
    "pgbouncer": functools.partial(_not_installed, "pgbouncer"),
    "postgresql": _no_postgresql,
    "rabbitmq": functools.partial(brokers.missing, "rabbitmq"),
    "redis": functools.partial(brokers.missing, "redis"),
    "redis-server": functools.partial(_not_installed, "redis-server"),
    "root": _not_root,
    "sqs": functools.partial(brokers.missing, "sqs"),
    "supervisor": functools.partial(_not_contained, "supervisord"),
    "systemd-analyze": functools.partial(_not_installed, "systemd-analyze"),
    "systemd-boot": _no_systemd_boot,
    "systemd-socket-activate": functools.partial(_not_installed, "systemd-socket-activate"),
    "xinetd": functools.partial(_not_contained, "xinetd"),
    "zsh": functools.partial(_not_installed, "zsh"),
}
