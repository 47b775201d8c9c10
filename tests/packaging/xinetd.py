"""Run a real xinetd with one of the packaged files: only the port, the command and the user are changed.

It runs in a pid namespace of its own, so that all processes that it started end with it.
"""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

from daemons.databases import free_port
from tests.project import ROOT
from tests.servers import UNSHARE, program
from tests.waiting import wait_until

PACKAGED = ROOT / "packaging" / "xinetd.d"


class Xinetd:
    """An xinetd on a free port: `with Xinetd(directory, server=…, home=…) as xinetd:` serves `xinetd.port`."""

    def __init__(self, directory: Path, *, server: Path, home: Path, file: str = "cronq") -> None:
        self._directory = directory
        self.port = free_port()
        text = (PACKAGED / file).read_text().replace("/usr/bin/cronq", str(server))
        text = text.replace("/var/lib/cronq", str(home))
        text = re.sub(r"(\bport\s+= )11137\n", rf"\g<1>{self.port}\n", text)
        text = re.sub(r"(\b(?:user|group)\s+= )cronq\n", r"\g<1>root\n", text)
        text = re.sub(r"(\bdisable\s+= )yes\n", r"\g<1>no\n", text)
        (directory / "xinetd.d").mkdir()
        (directory / "xinetd.d" / file).write_text(text)
        (directory / "xinetd.conf").write_text(f"includedir {directory}/xinetd.d\n")

    def __enter__(self) -> Xinetd:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it has read its files."""
        command = [str(program("xinetd")), "-dontfork", "-f", f"{self._directory}/xinetd.conf"]
        command += ["-filelog", f"{self._directory}/log", "-pidfile", f"{self._directory}/pid"]
        self._process = subprocess.Popen([*UNSHARE, "--kill-child=KILL", *command], stdin=subprocess.DEVNULL)
        wait_until(lambda: "Started working" in self.log(), what="xinetd")

    def stop(self) -> None:
        """Kill it and all processes that it started."""
        self._process.kill()
        self._process.wait()

    def log(self) -> str:
        """Return its own log; messages about a service go to syslog, as the packaged file says."""
        path = self._directory / "log"
        return path.read_text() if path.exists() else ""

    def connect(self) -> socket.socket:
        """Return a new connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)
