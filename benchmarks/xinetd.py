"""Run a private xinetd, with services on ports of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.contest import environment

_SERVICE = """\
service {name}
{{
	type = UNLISTED
	socket_type = stream
	protocol = tcp
	bind = 127.0.0.1
	port = {port}
	wait = {wait}
	user = root
	flags = NODELAY KEEPALIVE
	instances = 16
	cps = 10000 1
	server = {server}
{arguments}
}}
"""


class Service(NamedTuple):
    """One program that xinetd starts: for each connection or, with `waits`, for the listening socket."""

    command: Sequence[str]
    waits: bool = False


@contextmanager
def xinetd_for(place: Path, services: Sequence[Service]) -> Iterator[list[int]]:
    """Run xinetd, and yield the ports of the services in their order."""
    ports = [_free_port() for _ in services]
    with (place / "xinetd.conf").open("w") as conf:
        for number, (service, port) in enumerate(zip(services, ports, strict=True)):
            server, *arguments = service.command
            conf.write(
                _SERVICE.format(
                    name=f"measured{number}",
                    port=port,
                    wait="yes" if service.waits else "no",
                    server=server,
                    arguments=f"\tserver_args = {' '.join(arguments)}" if arguments else "",
                )
            )
    program = shutil.which("xinetd", path="/usr/sbin:/usr/bin") or "xinetd"
    command = [program, "-dontfork", "-f", str(place / "xinetd.conf"), "-filelog", str(place / "xinetd.log")]
    command += ["-pidfile", str(place / "xinetd.pid")]
    process = subprocess.Popen(command, env=environment(place), stdin=subprocess.DEVNULL)
    try:
        for port in ports:
            _wait_for(port)
        yield ports
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
