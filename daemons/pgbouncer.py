"""Run a private pgbouncer in front of a PostgreSQL server."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from daemons.databases import SERVERS, Running, free_port
from daemons.programs import program
from daemons.waiting import wait_until

_CONFIG = """\
[databases]
* = host={server.address} port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {place}/users
logfile = {place}/log
"""


@contextlib.contextmanager
def pooled(server: Running, *settings: str) -> Iterator[int]:
    """Yield the port of a pool in front of the server; `settings` are lines of its configuration file."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="cronq-pgbouncer-") as directory:
        place = Path(directory)
        (place / "ini").write_text(_CONFIG.format(server=server, port=port, place=place) + "\n".join(settings))
        (place / "users").write_text('"postgres" ""\n')
        user = []
        if os.geteuid() == 0:
            owner = str(SERVERS["postgresql"].user)
            user = ["-u", owner]
            for path in (place, *place.iterdir()):
                shutil.chown(path, owner)
        command = [str(program("pgbouncer")), "-q", *user, str(place / "ini")]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                wait_until(lambda: _listens(port), what="pgbouncer listens")
                yield port
            finally:
                process.terminate()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
