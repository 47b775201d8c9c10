"""What a shell calls for `cronq` where tests/warm.py runs it: hands its streams over and waits for the end.

Runs without site and imports nothing that Python hasn't built in or beside it, for it must be started quickly.
"""

from __future__ import annotations

import _socket
import binascii
import marshal
import os
import sys

STARTED = frozenset({"work", "serve-inetd", "top", "tail", "exec", "web"})
"""Commands that go on, and get signals."""

PLAIN = frozenset({"HOME", "PATH", "TZ", "PWD", "OLDPWD", "SHLVL", "_", "TERM", "NO_COLOR"})


def is_plain(environment: dict[str, str]) -> bool:
    """Whether Python itself takes no notice of what is in it."""
    return all(name in PLAIN or name.startswith("CRONQ_") for name in environment)


def name_of(home: str) -> str:
    """The name of the processes that are forked with this HOME, for what /proc calls their environment is another's."""
    return f"cronq-{binascii.crc32(home.encode()):08x}"


def main(address: bytes, script: str) -> None:
    """Run the command that was called as."""
    arguments, environment = sys.argv[1:], dict(os.environ)
    environment.pop("LC_CTYPE", None)  # Python itself has set it, here and there
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
