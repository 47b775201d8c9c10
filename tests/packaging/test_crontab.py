"""`cronq init --crontab` beside the real crontab program, with a spool directory of the test's own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.project import COMMAND, Project
from tests.servers import UNSHARE

pytestmark = pytest.mark.needs("cron")


def init(project: Project, spool: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call `cronq init` where the crontabs lie in `spool`."""
    script = 'mount --bind "$0" /var/spool/cron/crontabs && exec "$@"'
    return subprocess.run(
        [*UNSHARE, "sh", "-c", script, str(spool), *COMMAND, "init", *arguments],
        cwd=project.directory,
        env=project.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_line_is_added_once_and_the_others_are_kept(project: Project, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o1730)
    mine = spool / "root"
    mine.write_text("MAILTO=ann@example.org\n0 3 * * * /usr/bin/backup\n")
    line = f"* * * * * {' '.join(COMMAND)} --config {project.directory}/cronq.toml run"
    first = init(project, spool, "--crontab")
    assert (first.returncode, first.stderr) == (0, "")
    assert f"added to your crontab: {line}\n" in first.stdout
    expected = ["MAILTO=ann@example.org", "0 3 * * * /usr/bin/backup", line]
    assert mine.read_text().splitlines()[-3:] == expected
    again = init(project, spool, "--crontab")
    assert f"your crontab has it already: {line}\n" in again.stdout
    assert mine.read_text().splitlines()[-3:] == expected


def test_without_a_crontab_it_is_made(project: Project, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o1730)
    assert init(project, spool).returncode == 0
    assert list(spool.iterdir()) == []
    assert init(project, spool, "--crontab").returncode == 0
    assert (spool / "root").read_text().count(" run\n") == 1
