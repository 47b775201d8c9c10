"""Run a Redis for one measurement, on a socket in its directory and on a port."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.processor import attribute
from daemons.databases import free_port

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from benchmarks.peer import Fsync


def url(place: Path | str) -> str:
    """Return the URL of the socket of this directory's Redis."""
    return f"unix://{Path(place) / 'redis.sock'}"


def tcp_url(place: Path) -> str:
    """Return the URL of the same Redis for clients that speak only TCP."""
    return f"redis://127.0.0.1:{(place / 'redis.port').read_text()}/0"


def _port(place: Path) -> int:
    port = free_port()
    (place / "redis.port").write_text(str(port))
    return port


def available() -> bool:
    """Tell whether redis-server is installed."""
    return shutil.which("redis-server") is not None


def redis_for(place: Path, fsync: Fsync | None) -> AbstractContextManager[None]:
    """Return a context in which a Redis runs, or in which nothing runs if none is needed."""
    return nullcontext() if fsync is None else _running(place, fsync)


@contextmanager
def _running(place: Path, fsync: Fsync) -> Iterator[None]:
    options = {
        "port": str(_port(place)),
        "bind": "127.0.0.1",
        "unixsocket": str(place / "redis.sock"),
        "dir": str(place),
        "save": "",
        "appendonly": "yes" if fsync == "always" else "no",
        "appendfsync": fsync,
        "loglevel": "warning",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    process = subprocess.Popen(["redis-server", *arguments], stdout=subprocess.DEVNULL)
    attribute(place, process.pid)
    try:
        _wait_for(place)
        yield
    finally:
        process.terminate()
        process.wait()


def _wait_for(place: Path) -> None:
    import redis

    client = redis.Redis.from_url(url(place))
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(redis.ConnectionError):
            client.ping()
            return
        time.sleep(0.01)
    raise TimeoutError("redis-server did not answer within 10 s")
