"""Boot a real systemd as process 1 of its own namespaces, with cronq installed as by a package.

Its file system is a temporary overlay over the machine's: what it writes is deleted with it. Of the
machine's units it has only those that every service needs, and no generators of units, so that it
boots in less than a second and starts none of the machine's daemons. cronq is in /opt/cronq with a
link from /usr/bin/cronq, so that the packaged files are used unchanged. It has a network of its own,
so that the port is always free.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy

from daemons.programs import SYSTEM_PATH
from tests import frameworks, warm
from tests.project import ROOT, Ran
from tests.servers import BOOT, cgroup_root
from tests.waiting import wait_until

PACKAGED = ROOT / "packaging"
UNITS = (
    "basic.target",
    "dbus.service",
    "dbus.socket",
    "multi-user.target",
    "network.target",
    "paths.target",
    "shutdown.target",
    "slices.target",
    "sockets.target",
    "sysinit.target",
    "systemd-journald-dev-log.socket",
    "systemd-journald.service",
    "systemd-journald.socket",
    "timers.target",
    "umount.target",
)
"""The machine's units that it has."""

_CLONE_NEWNET = 0x40000000

_START = """\
set -eu
echo $$ >{cgroup}/cgroup.procs
exec {unshare} sh -c '
    set -eu
    cd {root}
    mount -t tmpfs tmpfs layers
    mkdir layers/upper layers/work
    mount -t overlay -o lowerdir=/,upperdir=layers/upper,workdir=layers/work overlay tree
    cp -a etc opt usr var tree/
    mount --bind -o ro {python} tree/opt/python
    mount --bind -o ro {packages} tree/opt/cronq/packages
    mount --bind -o ro {source} tree/opt/cronq/source/cronq
    cd tree
    for fresh in dev run tmp {systemd}/system {systemd}/system-generators etc/systemd/system; do
        mount -t tmpfs -o mode=755 tmpfs $fresh
    done
    chmod 1777 tmp
    for place in {packages} {source}; do  # a fork of a Python from outside finds here what it imports later
        mkdir -p .$place
        parent=.$place
        until [ $parent = . ]; do parent=$(dirname $parent); chmod o+x $parent; done
        mount --bind -o ro $place .$place
    done
    cp -a {units} {systemd}/system/
    cp -a {root}/units/* etc/systemd/system/
    cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty dev/
    mkdir -m 1777 dev/shm dev/pts run/lock
    ln -s /proc/self/fd dev/fd
    ln -s pts/ptmx dev/ptmx
    mount -t proc proc proc
    mount -t sysfs sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    pivot_root . mnt
    cd /
    umount -l mnt
    exec env -i container=unshare PATH={path} /lib/systemd/systemd --system --unit=booted.target \
        --show-status=no --log-target=journal
'
"""

_TARGET = """\
[Unit]
Requires=basic.target
Wants=dbus.socket systemd-journald.service
After=basic.target dbus.socket systemd-journald.service
"""

_COMMAND = """\
#!/opt/cronq/bin/python -I
import sys
from cronq.cli import main
sys.exit(main())
"""

_CRONQ = """\
import ctypes, os, pwd, sys
from cronq.cli import main

libc = ctypes.CDLL(None, use_errno=True)
namespaces = [os.open(f"/proc/{sys.argv[1]}/ns/{name}", os.O_RDONLY) for name in ("uts", "ipc", "net", "pid", "mnt")]
for namespace in namespaces:
    if libc.setns(namespace, 0):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(namespace)
if child := os.fork():  # only a child is in the namespace of processes
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
account = pwd.getpwnam("cronq")
os.initgroups("cronq", account.pw_gid)
os.setgid(account.pw_gid)
os.setuid(account.pw_uid)
libc.prctl(4, 1)  # what it has in /proc is its user's, as after a start
os.chdir(account.pw_dir)
os.environ.update(HOME=account.pw_dir, SHELL=account.pw_shell, USER="cronq", LOGNAME="cronq")
sys.argv[:] = ["/usr/bin/cronq", *sys.argv[2:]]
sys.exit(main())
"""
"""The code by which a fork of a Python that has imported cronq becomes a command in the booted system."""


class Booted:
    """A booted system; `files`, texts by absolute path, replace the packaged ones or are added.

    In the block of `with Booted(directory) as machine:` the accounts and directories of the package are
    made, and no unit of cronq is started. The queue of the user cronq is in /var/lib/cronq.
    """

    def __init__(self, directory: Path, *, files: Mapping[str, str] | None = None) -> None:
        self._root = directory
        for name in ("tree", "layers"):
            (directory / name).mkdir()
        _install(directory)
        for path, text in (files or {}).items():
            self._put(path, text)
        self._pid = 0

    def __enter__(self) -> Booted:
        self._cgroup = Path(tempfile.mkdtemp(prefix="cronq-", dir=cgroup_root()))
        script = _START.format(
            root=self._root,
            cgroup=self._cgroup,
            unshare=" ".join(BOOT),
            python=sys.base_prefix,
            packages=_packages(),
            source=ROOT / "cronq",
            units=" ".join(_units()),
            path=SYSTEM_PATH,
            systemd="usr/lib/systemd",
        )
        self._output = (self._root / "output").open("w+")
        self._process = subprocess.Popen(
            ["sh", "-c", script],
            env={**os.environ, "PATH": SYSTEM_PATH},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
        )
        try:
            self._boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._output.close()
        wait_until(lambda: _removed(self._cgroup), what="the end of all processes")

    def run(self, *command: str, user: str | None = None, stdin: str = "") -> Ran:
        """Run a command in the system, as root or as a user with that user's home."""
        inside = ["nsenter", "--target", str(self._pid), "--all"]
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--reset-env"] if user else []
        ran = subprocess.run(
            [*inside, *as_user, *command],
            input=stdin,
            env={"PATH": SYSTEM_PATH},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def done(self, *command: str, user: str | None = None) -> str:
        """Run a command that must succeed; return its output without the last newline."""
        ran = self.run(*command, user=user)
        assert ran.status == 0, f"{' '.join(command)}: {ran}\n{self.journal()}"
        return ran.stdout.removesuffix("\n")

    def cronq(self, *arguments: str | int) -> str:
        """Run `cronq ARGUMENTS` as the user cronq, by a fork (tests/warm.py) that enters the system; return stdout."""
        words = ["-c", _CRONQ, str(self._pid), *map(str, arguments)]
        ran = warm.run(frameworks.IMPORTED, warm.Command(words, Path("/"), {"PATH": SYSTEM_PATH}), 60)
        assert ran.status == 0, f"cronq {' '.join(words[3:])}: {ran}\n{self.journal()}"
        return ran.stdout.removesuffix("\n")

    def state(self, job: int | str) -> str:
        """Return the state of a job of the user cronq."""
        shown: dict[str, str] = json.loads(self.cronq("show", job, "--json"))
        return shown["state"]

    def systemctl(self, *arguments: str) -> str:
        """Run `systemctl ARGUMENTS` as root; return its output."""
        return self.done("systemctl", "--no-pager", *arguments)

    def property(self, unit: str, name: str) -> str:
        """Return one property of a unit, such as ActiveState, MainPID, NRestarts."""
        return self.systemctl("show", "--value", f"--property={name}", unit)

    def journal(self, *options: str) -> str:
        """Return the journal, with options for example only that of `--unit=cronq-run`."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "--no-pager", "--output=short-precise", *options).stdout

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """Freeze all processes of the system while its clocks go on, as in a machine that sleeps."""
        freezer = self._cgroup / "cgroup.freeze"
        freezer.write_text("1")
        try:
            yield
        finally:
            freezer.write_text("0")

    def path(self, path: str) -> Path:
        """Return the path by which the test can open a file of the system."""
        return Path(f"/proc/{self._pid}/root{path}")

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file of the system."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def connect(self, port: int = 11137) -> socket.socket:
        """Return a connection to a port on the system's loopback."""
        with self._network():
            client = socket.socket()
        client.settimeout(60)
        client.connect(("127.0.0.1", port))
        return client

    @contextmanager
    def _network(self) -> Iterator[None]:
        """Move this thread into the system's network: a socket belongs to the network in which it was made."""
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/proc/self/ns/net").open() as ours, Path(f"/proc/{self._pid}/ns/net").open() as theirs:
            assert libc.setns(theirs.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            try:
                yield
            finally:
                assert libc.setns(ours.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())

    def _put(self, path: str, text: str) -> None:
        target = self._root / path.removeprefix("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def _boot(self) -> None:
        wait_until(self._is_up, seconds=60, what="systemd", pause=0.05)
        self.done("systemd-sysusers", "/etc/sysusers.d/cronq.conf")
        self.done("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/cronq.conf")

    def _is_up(self) -> bool:
        if self._process.poll() is not None:
            self._output.seek(0)
            raise AssertionError(f"systemd did not boot: {self._output.read()}")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        if not children or Path(f"/proc/{children[0]}/comm").read_text() != "systemd\n":
            return False
        self._pid = int(children[0])
        return self.run("systemctl", "is-active", "booted.target").stdout == "active\n"


def _install(root: Path) -> None:
    """Write what the overlay adds to the machine's /etc, /opt, /usr and /var: cronq and its packaged files."""
    for folder, place in {
        "systemd": "units",
        "sysusers.d": "etc/sysusers.d",
        "tmpfiles.d": "etc/tmpfiles.d",
        "xinetd.d": "etc/xinetd.d",
        "cron.d": "etc/cron.d",
    }.items():
        shutil.copytree(PACKAGED / folder, root / place)
    (root / "units" / "booted.target").write_text(_TARGET)
    for name in (
        "opt/python",
        "opt/cronq/packages",
        "opt/cronq/source/cronq",
        "opt/cronq/bin",
        "usr/bin",
        "usr/lib",
        "var",
    ):
        (root / name).mkdir(parents=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (root / "opt/cronq/pyvenv.cfg").write_text("home = /opt/python/bin\ninclude-system-site-packages = false\n")
    (root / "opt/cronq/bin/python").symlink_to(f"/opt/python/bin/{version}")
    site = root / "opt/cronq/lib" / version / "site-packages"
    site.mkdir(parents=True)
    (site / "cronq.pth").write_text("/opt/cronq/source\n/opt/cronq/packages\n")
    (root / "opt/cronq/bin/cronq").write_text(_COMMAND)
    (root / "opt/cronq/bin/cronq").chmod(0o755)
    (root / "usr/bin/cronq").symlink_to("/opt/cronq/bin/cronq")
    for library in Path(sys.base_prefix, "lib").glob("libpython*.so*"):
        (root / "usr/lib" / library.name).symlink_to(f"/opt/python/lib/{library.name}")


def _packages() -> Path:
    """Return the directory of the libraries that cronq needs."""
    return Path(sqlalchemy.__file__).parents[1]


def _units() -> Iterable[str]:
    wanted = (Path("/usr/lib/systemd/system") / name for name in UNITS)
    return [str(path) for path in wanted if path.exists()]


def _removed(cgroup: Path) -> bool:
    try:
        for folder, _, _ in os.walk(cgroup, topdown=False):
            Path(folder).rmdir()
    except OSError:
        return False
    return True
