"""The Debian package: built as `make deb` builds it; installed, used, upgraded, removed and purged.

The upgrade is from a package with a lower version, while a job runs. All of it happens in an overlay of this machine
that is gone with the test.

The first installation compiles the package's modules; the two later ones take what it compiled, for their modules are
the same, and compiling is most of what an installation costs. The quick test has a package of cronq's own modules,
without those that cronq needs: it shows what the package's scripts do, and starts no cronq.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from daemons.programs import SYSTEM_PATH
from tests.project import ROOT
from tests.servers import BOOT

pytestmark = pytest.mark.needs("systemd-boot", "cron")

OVERLAY = """\
set -eu
cd {root}
mount -t tmpfs tmpfs layers
mkdir layers/upper layers/work
mount -t overlay -o lowerdir=/,upperdir=layers/upper,workdir=layers/work overlay tree
mount --rbind /dev tree/dev
mount -t proc proc tree/proc
mount -t tmpfs tmpfs tree/run
mkdir -p tree/run/lock tree/package
cp {package} tree/package/cronq.deb
# The manual pages of this machine would be read anew with each step.
rm -f tree/var/lib/man-db/auto-update
{prepared}
chroot tree sh -eux -c '{steps}'
"""

OLDER = """\
dpkg-deb -R {package} older
sed -i "s/^Version: .*/Version: 0.0.1/" older/DEBIAN/control
sed -i "1i # of the older version" older/etc/logrotate.d/cronq
dpkg-deb -Znone -b older tree/package/older.deb
mkdir tree/package/bin
cp {stand_in} tree/package/bin/py3compile
"""
"""Also a package with a lower version."""

INSTALLED = """\
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
dpkg -i /package/cronq.deb
cd /usr/lib/cronq
echo "compiled $(find cronq -name "*.py" | wc -l) $(find cronq -name "*.pyc" | wc -l)"
cd /
stat -c "%U:%G %a" /etc/cronq/cronq.toml /var/lib/cronq
grep -h disable /etc/xinetd.d/cronq /etc/xinetd.d/cronq-listen
test -x /usr/bin/cronq
setpriv --reuid=cronq --regid=cronq --init-groups --reset-env touch /var/lib/cronq/kept
dpkg -r cronq
ls /var/lib/cronq/kept
ls /usr/bin/cronq /usr/lib/cronq || true
dpkg -P cronq
ls -d /var/lib/cronq /etc/cronq /etc/cron.d/cronq || true
"""

STEPS = """\
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
as_cronq() { setpriv --reuid=cronq --regid=cronq --init-groups --reset-env "$@"; }
dpkg -i /package/older.deb
cd /usr/lib/cronq
echo "compiled $(find cronq -name "*.py" | wc -l) $(find cronq -name "*.pyc" | wc -l)"
find . -name "*.pyc" | tar -cf /package/compiled.tar -T -
cd /
PATH=/package/bin:$PATH
stat -c "%U:%G %a" /etc/cronq/cronq.toml /var/lib/cronq
grep -h disable /etc/xinetd.d/cronq /etc/xinetd.d/cronq-listen
as_cronq cronq enqueue -- echo "from the package"
as_cronq sh -c "$(sed -n "s/^\\* \\* \\* \\* \\* cronq //p" /etc/cron.d/cronq)"
as_cronq cronq ls --state finished
as_cronq cronq enqueue --at +1h -- true
echo "jobs = 3" >>/etc/cronq/cronq.toml
as_cronq cronq enqueue -- sh -c "until [ -e /run/go ]; do sleep 0.1; done; echo slowly"
as_cronq cronq run &
until as_cronq cronq ls --state running | grep slowly; do sleep 0.1; done
(sleep 3; touch /run/go) &
dpkg -i /package/cronq.deb
dpkg-query -W -f 'now ${Version}\\n' cronq
grep -c "older version" /etc/logrotate.d/cronq || true
as_cronq cronq wait 3
as_cronq cronq show 3
as_cronq cronq config get jobs
dpkg -r cronq
ls /usr/bin/cronq /usr/lib/cronq || true
dpkg -i /package/cronq.deb
as_cronq cronq ls --state scheduled
dpkg -P cronq
ls -d /var/lib/cronq /etc/cronq /usr/lib/cronq /etc/cron.d/cronq || true
"""

STAND_IN = """\
#!/bin/sh
set -eu
[ "$*" = "-p cronq /usr/lib/cronq" ]
tar -xf /package/compiled.tar -C /usr/lib/cronq
"""
"""Stands for py3compile after the first installation."""


def made(tree: Path, **environment: str) -> Path:
    """The package that `make deb` builds from a copy of the project."""
    kept_out = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "dist", "tests")
    shutil.copytree(ROOT, tree, ignore=kept_out)
    (tree / ".venv").symlink_to(Path(sys.executable).parent.parent)
    command = ["make", "deb", "-o", ".venv/development", "-o", ".venv/cronq"]
    # xz, as Debian's packages have it, takes longer than all else here.
    quickly = os.environ | {"DPKG_DEB_COMPRESSOR_TYPE": "gzip", "DPKG_DEB_COMPRESSOR_LEVEL": "1"} | environment
    ran = subprocess.run(command, cwd=tree, env=quickly, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    [built] = (tree / "dist").glob("*.deb")
    return built


def through(steps: str, package: Path, place: Path, prepared: str = "") -> subprocess.CompletedProcess[str]:
    """Take these steps in an overlay of the machine, with the package in its /package."""
    for name in ("layers", "tree"):
        (place / name).mkdir()
    quoted = steps.replace("'", "'\\''")
    script = OVERLAY.format(root=place, package=package, prepared=prepared, steps=quoted)
    ran = subprocess.run(
        [*BOOT, "sh", "-c", script], env={"PATH": SYSTEM_PATH}, capture_output=True, text=True, check=False
    )
    said = f"{ran.stdout}\n{ran.stderr}"
    assert ran.returncode == 0, said
    assert re.search(r"^compiled ([1-9]\d+) \1$", ran.stdout, re.MULTILINE), said
    assert "root:cronq 640\ncronq:cronq 750\n" in ran.stdout, said
    assert ran.stdout.count("disable         = yes\n") == 2, said
    for gone in ("/usr/bin/cronq", "/usr/lib/cronq", "/var/lib/cronq", "/etc/cronq", "/etc/cron.d/cronq"):
        assert f"cannot access '{gone}'" in ran.stderr, said
    return ran


def test_the_package_is_installed_removed_and_purged(tmp_path: Path) -> None:
    package = made(tmp_path / "cronq", PIP_NO_DEPS="1")
    ran = through(INSTALLED, package, tmp_path)
    assert "\n/var/lib/cronq/kept\n" in ran.stdout


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_the_package_is_used_and_upgraded_while_a_job_runs(tmp_path: Path) -> None:
    package = made(tmp_path / "cronq")
    stand_in = tmp_path / "py3compile"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    ran = through(STEPS, package, tmp_path, OLDER.format(package=package, stand_in=stand_in))
    said = f"{ran.stdout}\n{ran.stderr}"
    assert "1\tfinished\t" in ran.stdout, said
    assert f"\nnow {package.name.split('_')[1]}\n0\n" in ran.stdout, said
    assert "attempts      1 of 20" in ran.stdout, said
    assert "  slowly" in ran.stdout, said
    assert "\n3\n" in ran.stdout, said
    assert "2\tscheduled\t" in ran.stdout, said
