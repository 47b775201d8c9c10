"""The Debian package: built as `make deb` builds it; installed, used, upgraded, removed and purged.

The upgrade is from a package with a lower version, while a job runs. All of it happens in an overlay of this machine
that is gone with the test.

The first installation compiles the package's modules; the two later ones take what it compiled, for their modules are
the same, and compiling is most of what an installation costs.
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
dpkg-deb -R {package} older
sed -i "s/^Version: .*/Version: 0.0.1/" older/DEBIAN/control
sed -i "1i # of the older version" older/etc/logrotate.d/cronq
dpkg-deb -Znone -b older tree/package/older.deb
# The manual pages of this machine would be read anew with each step.
rm -f tree/var/lib/man-db/auto-update
mkdir tree/package/bin
cp {stand_in} tree/package/bin/py3compile
chroot tree sh -eux -c '{steps}'
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


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("deb") / "cronq"
    kept_out = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "dist", "tests")
    shutil.copytree(ROOT, tree, ignore=kept_out)
    (tree / ".venv").symlink_to(Path(sys.executable).parent.parent)
    command = ["make", "deb", "-o", ".venv/development", "-o", ".venv/cronq"]
    # xz, as Debian's packages have it, takes longer than all else here.
    quickly = os.environ | {"DPKG_DEB_COMPRESSOR_TYPE": "gzip", "DPKG_DEB_COMPRESSOR_LEVEL": "1"}
    made = subprocess.run(command, cwd=tree, env=quickly, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    [built] = (tree / "dist").glob("*.deb")
    return built


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_package_is_installed_used_upgraded_removed_and_purged(package: Path, tmp_path: Path) -> None:
    for name in ("layers", "tree"):
        (tmp_path / name).mkdir()
    steps = STEPS.replace("'", "'\\''")
    stand_in = tmp_path / "py3compile"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    script = OVERLAY.format(root=tmp_path, package=package, stand_in=stand_in, steps=steps)
    ran = subprocess.run(
        [*BOOT, "sh", "-c", script], env={"PATH": SYSTEM_PATH}, capture_output=True, text=True, check=False
    )
    said = f"{ran.stdout}\n{ran.stderr}"
    assert ran.returncode == 0, said
    assert re.search(r"^compiled ([1-9]\d+) \1$", ran.stdout, re.MULTILINE), said
    assert "root:cronq 640\ncronq:cronq 750\n" in ran.stdout, said
    assert ran.stdout.count("disable         = yes\n") == 2, said
    assert "1\tfinished\t" in ran.stdout, said
    assert f"\nnow {package.name.split('_')[1]}\n0\n" in ran.stdout, said
    assert "attempts      1 of 20" in ran.stdout, said
    assert "  slowly" in ran.stdout, said
    assert "\n3\n" in ran.stdout, said
    assert "2\tscheduled\t" in ran.stdout, said
    for gone in ("/usr/bin/cronq", "/usr/lib/cronq", "/var/lib/cronq", "/etc/cronq", "/etc/cron.d/cronq"):
        assert f"cannot access '{gone}'" in ran.stderr, said
