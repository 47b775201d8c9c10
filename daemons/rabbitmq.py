"""Run a private RabbitMQ, with the Erlang port mapper that it needs."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from daemons.databases import free_port
from daemons.waiting import wait_until

PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The server's script; the one in /usr/sbin changes to the machine's own directories first."""

_USER = "rabbitmq"
_NEEDED = "rabbitmq_prelaunch"
"""The only plugin that the broker needs to start."""


class Running(NamedTuple):
    """The URL of a private RabbitMQ, and the pid of its topmost process."""

    url: str
    pid: int


def available() -> bool:
    """Tell whether RabbitMQ is installed."""
    return PROGRAM.exists()


@contextlib.contextmanager
def private_rabbitmq() -> Iterator[Running]:
    """Yield a RabbitMQ that runs until the end of the block."""
    place = Path(tempfile.mkdtemp(prefix="cronq-rabbitmq-"))
    if os.geteuid() == 0:
        shutil.chown(place, _USER)
    port, variables = free_port(), environment(place)
    with (place / "output").open("wb") as output:
        server = subprocess.Popen(
            [str(PROGRAM)], env=variables | {"RABBITMQ_NODE_PORT": str(port)}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, start_new_session=True, **owner(),
        )  # fmt: skip
    try:
        wait_until(lambda: _answers(server, port), seconds=60, what="RabbitMQ answers")
        yield Running(f"amqp://guest:guest@127.0.0.1:{port}//", server.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        end_port_mapper(variables)
        shutil.rmtree(place, ignore_errors=True)


def environment(place: Path) -> dict[str, str]:
    """Return the variables that keep an instance in its directory, and off the machine's own ports."""
    (place / "enabled_plugins").write_text("[].\n")
    _link_libraries(place / "plugins")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(place),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(free_port()),
        "RABBITMQ_NODENAME": "cronq@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(place / "mnesia"),
        "RABBITMQ_LOG_BASE": str(place / "log"),
        "RABBITMQ_CONF_ENV_FILE": str(place / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(place / "enabled_plugins"),
        "RABBITMQ_PLUGINS_DIR": str(place / "plugins"),
    }


def _link_libraries(place: Path) -> None:
    """Link the broker's libraries without its plugins: a start reads all of them, enabled or not."""
    place.mkdir()
    for library in PROGRAM.parents[1].glob("lib/rabbitmq_server-*/plugins/*"):
        if not library.name.startswith("rabbitmq_") or library.name.startswith(_NEEDED):
            (place / library.name).symlink_to(library)


def control(variables: dict[str, str], *words: str) -> None:
    """Run `rabbitmqctl WORDS` on the instance."""
    command = [str(PROGRAM.with_name("rabbitmqctl")), *words]
    told = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, **owner())
    assert told.returncode == 0, told.stdout + told.stderr


def _answers(server: subprocess.Popen[bytes], port: int) -> bool:
    assert server.poll() is None, f"RabbitMQ ended with {server.returncode}"
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def end_port_mapper(variables: dict[str, str]) -> None:
    """End the instance's port mapper, which refuses to end while it takes the instance for alive."""
    wait_until(lambda: "not allowed" not in _asked_to_end(variables), what="epmd lets itself be ended")


def _asked_to_end(variables: dict[str, str]) -> str:
    asked = subprocess.run(["epmd", "-kill"], env=variables, capture_output=True, text=True, check=False)
    return asked.stdout + asked.stderr


def owner() -> dict[str, Any]:
    """Return the user and group as which root runs it: root would leave files that the service can't read."""
    if os.geteuid() != 0:
        return {}
    return {"user": _USER, "group": pwd.getpwnam(_USER).pw_gid, "extra_groups": []}
