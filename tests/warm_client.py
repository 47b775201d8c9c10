"""Be the `cronq` of shells where tests/warm.py runs it: pass the streams to a fork and wait for its end.

It runs without the module site and imports only Python's own modules, so that it starts quickly.
"""

from __future__ import annotations

import _socket
import binascii
import marshal
import os
import sys

STARTED = frozenset({"work", "serve-inetd", "top", "tail", "exec", "web"})
"""Commands that keep running and get signals: they are started, not forked."""

PLAIN = frozenset({"HOME", "PATH", "TZ", "PWD", "OLDPWD", "SHLVL", "_", "TERM", "NO_COLOR"})


def is_plain(environment: dict[str, str]) -> bool:
    """Tell whether Python itself ignores all these variables."""
    return all(name in PLAIN or name.startswith("CRONQ_") for name in environment)


def name_of(home: str) -> str:
    """Return the name of the processes forked with this HOME: /proc shows them with their parent's environment."""
    return f"cronq-{binascii.crc32(home.encode()):08x}"


def main(address: bytes, script: str) -> None:
    """Run the command with the arguments of this process, and exit with its status."""
    arguments, environment = sys.argv[1:], dict(os.environ)
    environment.pop("LC_CTYPE", None)  # Python has set it itself, here as in the other process
    if not STARTED.isdisjoint(arguments) or not is_plain(environment):
        os.execv(script, [script, *arguments])
    name = name_of(environment.get("HOME", ""))
    directory = os.getcwd()  # noqa: PTH109 - pathlib takes longer than all the rest
    given = {"arguments": arguments, "directory": directory, "environment": environment, "name": name}
    request = marshal.dumps(given | {"host": None, "user": None})
    asked = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    asked.connect(address)
    streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
    asked.sendmsg([request], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
    asked.recv(64)
    status = os.waitstatus_to_exitcode(int(asked.recv(64)))
    os._exit(status if status >= 0 else 128 - status)
