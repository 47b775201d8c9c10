"""Make hosts for a test: each has a name and a network of its own, and can be cut off from the others.

They share the file system and the pids with the machine, so a test sees and kills their processes.
They need root; a test has the mark `@pytest.mark.needs("network")`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests import servers
from tests.waiting import wait_until


class Network:
    """A network bridge, to which the machine itself is connected at `address`."""

    def __init__(self) -> None:
        pid = os.getpid()
        self._subnet = f"10.{64 + (pid >> 8) % 64}.{pid % 256}"
        self._switch = f"cronq{pid}"
        self.address = f"{self._subnet}.1"
        self._hosts: list[Host] = []

    def __enter__(self) -> Self:
        if Path(f"/sys/class/net/{self._switch}").exists():  # of a killed test, whose process had our pid
            _ip("link", "delete", self._switch)
        _ip("link", "add", self._switch, "type", "bridge")
        _ip("address", "add", f"{self.address}/24", "dev", self._switch)
        _ip("link", "set", self._switch, "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in self._hosts:
            host.end()
        _ip("link", "delete", self._switch)

    def host(self, name: str) -> Host:
        """Make a host of this name, connected to the network."""
        number = len(self._hosts) + 2
        host = Host(name, switch=self._switch, address=f"{self._subnet}.{number}/24")
        self._hosts.append(host)
        return host


class Host:
    """A name and a network; `command` is the beginning of a command that runs there."""

    def __init__(self, name: str, *, switch: str, address: str) -> None:
        self.name = name
        self._switch = switch
        self._plug = f"{switch}-{address.rpartition('.')[2].partition('/')[0]}"
        # This process keeps the namespaces; it ends with its input, so it never outlives the test.
        self._keeper = subprocess.Popen(
            [*servers.HOST, "sh", "-c", f"hostname {name} && cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        self.command = _entering(self._keeper.pid)
        wait_until(self._is_named, what=f"host {name} is there")
        inside = ["netns", str(self._keeper.pid)]
        _ip("link", "add", self._plug, "type", "veth", "peer", "name", "eth0", *inside)
        self.plug_in()
        _ip("link", "set", self._plug, "up")
        for words in (("address", "add", address, "dev", "eth0"), ("link", "set", "eth0", "up"),
                      ("link", "set", "lo", "up")):  # fmt: skip
            self.run("ip", *words)

    def run(self, *command: str) -> str:
        """Run a command there to its end, which must succeed; return its output."""
        ran = subprocess.run([*self.command, *command], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def cut(self) -> None:
        """Disconnect the host from the network: nothing gets through, and neither end is notified."""
        _ip("link", "set", self._plug, "nomaster")

    def plug_in(self) -> None:
        """Connect the host to the network."""
        _ip("link", "set", self._plug, "master", self._switch)

    def end(self) -> None:
        """Remove the host; processes that still run there lose their network."""
        self._keeper.kill()
        self._keeper.communicate()

    def _is_named(self) -> bool:
        ran = subprocess.run([*self.command, "hostname"], capture_output=True, text=True, check=False)
        return ran.stdout.strip() == self.name


def target_of(before: Sequence[str]) -> int | None:
    """Return the pid of the host in which these words run a command; None if they are something else."""
    found = [word.removeprefix("--target=") for word in before if word.startswith("--target=")]
    return int(found[0]) if found and list(before) == _entering(int(found[0])) else None


def _entering(pid: int) -> list[str]:
    return ["nsenter", f"--target={pid}", "--net", "--uts"]


def _ip(*words: str) -> None:
    ran = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"ip {' '.join(words)}: {ran.stderr}"
