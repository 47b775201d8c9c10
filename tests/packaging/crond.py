"""Run a real cron daemon that sees only a test's crontabs.

It runs in mount and pid namespaces of its own: its /etc/cron.d, /etc/crontab, /etc/passwd, spool, /run,
/dev and /usr/sbin are the test's, the machine's are not touched, and killing `unshare` ends every process.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from email import message_from_string
from email.message import Message
from pathlib import Path

from tests.servers import UNSHARE, program

_START = """\
set -eu
cd {root}
mount -t tmpfs tmpfs /run
mkdir -m 1777 /run/lock
mount -t tmpfs tmpfs dev
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom dev/
ln -s /proc/self/fd dev/fd
mkdir -m 1777 dev/shm
touch dev/log
mount --bind log dev/log
mount --rbind dev /dev
# All of /etc: a file that is mounted over alone shows through as soon as a useradd outside replaces it.
cp -a /etc/. etc/
rm -r etc/cron.d
cp -a passwd crontab cron.d etc/
mount --bind etc /etc
mount --bind cron.d /etc/cron.d
mount --bind spool /var/spool/cron/crontabs
mount --bind sbin /usr/sbin
exec /usr/sbin/cron -f -L 15
"""

_SENDMAIL = """\
#!/bin/sh
cat >{mails}/$$.part && mv {mails}/$$.part {mails}/$$.mail
"""


class Cron:
    """A private cron daemon; `users` maps names to home directories, `crontabs` file names in cron.d to texts."""

    def __init__(self, root: Path, *, users: dict[str, Path], crontabs: dict[str, str]) -> None:
        self.root = root
        self._mails = root / "mails"
        for name in ("cron.d", "dev", "etc", "mails", "sbin", "spool"):
            (root / name).mkdir()
        (root / "crontab").touch(mode=0o644)
        (root / "passwd").write_text(_passwd(users))
        for name, text in crontabs.items():
            self._install(f"cron.d/{name}", text, 0o644)
        self._install("sbin/sendmail", _SENDMAIL.format(mails=self._mails), 0o755)
        shutil.copy(str(program("cron")), root / "sbin" / "cron")
        self._log = _log_socket(root / "log")
        self._lines: list[str] = []

    def __enter__(self) -> Cron:
        script = _START.format(root=self.root)
        self._process = subprocess.Popen([*UNSHARE, "--kill-child=KILL", "sh", "-c", script], stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def log(self) -> list[str]:
        """Return what cron has sent to syslog so far, by entry."""
        assert self._process.poll() is None, "cron has ended"
        while True:
            try:
                self._lines.append(self._log.recv(8192).decode(errors="replace"))
            except BlockingIOError:
                return self._lines

    def logged(self, *words: str) -> bool:
        """Tell whether one entry has all these words."""
        return any(all(word in line for word in words) for line in self.log())

    def mails(self) -> list[Message]:
        """Return the mails that cron has passed to sendmail."""
        return [message_from_string(path.read_text()) for path in sorted(self._mails.glob("*.mail"))]

    def _install(self, name: str, text: str, mode: int) -> None:
        path = self.root / name
        path.write_text(text)
        path.chmod(mode)


def _passwd(users: dict[str, Path]) -> str:
    """Return accounts with the test's own uid: other users may have no permission to read the interpreter."""
    ours = f"{os.getuid()}:{os.getgid()}"
    own = f"root:*:{ours}:root:/:/bin/sh\n"
    return own + "".join(f"{name}:*:{ours}::{home}:/usr/sbin/nologin\n" for name, home in users.items())


def _log_socket(path: Path) -> socket.socket:
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind(str(path))
    log.setblocking(False)
    return log
