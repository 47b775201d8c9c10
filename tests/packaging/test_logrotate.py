"""packaging/logrotate/cronq: the real logrotate moves a log that others may not write to."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.packaging.booted import Booted
from tests.project import ROOT
from tests.servers import program

FILE = ROOT / "packaging" / "logrotate" / "cronq"


@pytest.mark.needs("logrotate")
def test_logrotate_reads_the_file_without_a_complaint(tmp_path: Path) -> None:
    text = FILE.read_text().replace("cronq adm", "root root").replace("/var/log/cronq", str(tmp_path))
    changed = tmp_path / "cronq"
    changed.write_text(text)
    command = [str(program("logrotate")), "--debug", "--state", str(tmp_path / "state"), str(changed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "error" not in done.stderr


@pytest.mark.needs("systemd-boot", "logrotate")
def test_log_of_the_packages_user_is_moved_and_made_anew_for_them(machine: Booted) -> None:
    machine.write("/etc/logrotate.d/cronq", FILE.read_text())
    machine.done("sh", "-c", "umask 027; echo a line >/var/log/cronq/cronq.log", user="cronq")
    told = machine.done("logrotate", "--force", "--state", "/tmp/state", "/etc/logrotate.d/cronq")
    assert told == ""
    log = machine.path("/var/log/cronq")
    assert (log / "cronq.log.1").read_text() == "a line\n"
    assert machine.done("stat", "-c", "%U:%G %a %s", "/var/log/cronq/cronq.log") == "cronq:adm 640 0"
