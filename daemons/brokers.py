"""Start private message brokers: RabbitMQ, Redis, beanstalkd, and moto's server as Amazon SQS."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from daemons import rabbitmq
from daemons.databases import alive, free_port
from daemons.programs import program
from daemons.waiting import wait_until


class _Kind(NamedTuple):
    """The command that starts one kind of broker, and the URL of it for `wake`."""

    command: Callable[[Path, int], list[str]]
    url: str


def _redis(place: Path, port: int) -> list[str]:
    return [str(program("redis-server")), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(place), "--save", ""]


def _beanstalkd(_place: Path, port: int) -> list[str]:
    return [str(program("beanstalkd")), "-l", "127.0.0.1", "-p", str(port)]


def _rabbitmq(_place: Path, _port: int) -> list[str]:
    return [str(rabbitmq.PROGRAM)]


def _moto(_place: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]


KINDS = {
    "rabbitmq": _Kind(_rabbitmq, "amqp://guest:guest@127.0.0.1:{port}//?name={name}"),
    "redis": _Kind(_redis, "redis://127.0.0.1:{port}/0?name={name}"),
    "beanstalkd": _Kind(_beanstalkd, "beanstalk://127.0.0.1:{port}?name={name}"),
    "sqs": _Kind(_moto, "sqs://key:secret@moto/{name}?region=eu-west-1&endpoint=http://127.0.0.1:{port}"),
}


class Broker:
    """A broker in a directory and on a port of its own; it can be killed and started again there."""

    def __init__(self, kind: str, place: Path) -> None:
        self.kind = kind
        self._place = place
        settings = place / "settings"
        if not settings.exists():
            settings.write_text(json.dumps(_settings(kind, place)))
        self.port, self._variables = json.loads(settings.read_text())

    @property
    def url(self) -> str:
        """Its URL for `wake`."""
        return self.named("cronq")

    def named(self, name: str, *, port: int | None = None) -> str:
        """Return its URL for `wake`, with an exchange, channel, tube or queue of this name, or with another port."""
        return KINDS[self.kind].url.format(port=port or self.port, name=name)

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        owner = rabbitmq.owner() if self.kind == "rabbitmq" else {}
        if owner:
            shutil.chown(self._place, owner["user"])
        with (self._place / "output").open("ab") as output:
            process = subprocess.Popen(
                KINDS[self.kind].command(self._place, self.port), env=self._variables, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True, **owner,
            )  # fmt: skip
        self._pid_file.write_text(str(process.pid))
        wait_until(lambda: self._answers(process), seconds=180, what=f"{self.kind} answers")
        process.returncode = 0  # it outlives this process, so Popen must not warn that nothing waits for it

    def stop_answering(self) -> None:
        """Stop its processes with SIGSTOP: connections stay open, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def control(self, *words: str) -> None:
        """Run `rabbitmqctl WORDS` on it."""
        assert self._variables is not None
        rabbitmq.control(self._variables, *words)

    def kill(self) -> None:
        """Kill it with SIGKILL, as in a power cut."""
        if self._pid_file.exists():
            self._signal(signal.SIGKILL)
            pid = int(self._pid_file.read_text())
            wait_until(lambda: not alive(pid), what=f"{self.kind} is gone")
            self._pid_file.unlink()
        if self._variables is not None:
            rabbitmq.end_port_mapper(self._variables)

    @property
    def _pid_file(self) -> Path:
        return self._place / "pid"

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(self._pid_file.read_text()), number)

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, (self._place / "output").read_text(errors="replace")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            if self.kind == "sqs":
                _load_sqs(self.port)
            return True
        return False


def _load_sqs(port: int) -> None:
    """Have moto import its SQS: that takes longer than the second that an enqueue waits for a broker."""
    signature = "AWS4-HMAC-SHA256 Credential=key/20260101/eu-west-1/sqs/aws4_request"
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/", b"Action=ListQueues&Version=2012-11-05", {"Authorization": signature}
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        answer.read()


def _settings(kind: str, place: Path) -> tuple[int, dict[str, str] | None]:
    """Return the port, and the environment variables that it runs with, or None for those of this process."""
    port = free_port()
    if kind != "rabbitmq":
        return port, None
    return port, rabbitmq.environment(place) | {"RABBITMQ_NODE_PORT": str(port)}


@contextlib.contextmanager
def private_broker(kind: str) -> Iterator[Broker]:
    """Yield a broker that runs until the end of the block."""
    place = Path(tempfile.mkdtemp(prefix="cronq-broker-"))
    broker = Broker(kind, place)
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()
        shutil.rmtree(place, ignore_errors=True)


def missing(kind: str) -> str | None:
    """Return why this kind of broker can't be started here; None if it can."""
    if kind == "sqs":
        return None
    found: Any = rabbitmq.available() if kind == "rabbitmq" else program(_PROGRAMS[kind])
    return None if found else f"{kind} is not installed"


_PROGRAMS = {"redis": "redis-server", "beanstalkd": "beanstalkd"}
