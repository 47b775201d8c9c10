"""`cronq print-config`: files that name this installation."""

from __future__ import annotations

import os
import pwd
import subprocess

import pytest

from tests.project import COMMAND, Project
from tests.servers import program

ME = pwd.getpwuid(os.geteuid()).pw_name


def test_one_file_is_printed_as_it_is(project: Project) -> None:
    printed = project.done("print-config", "cron", "--user", ME)
    assert printed.startswith("# Runs what is due")
    last = printed.splitlines()[-1]
    assert last.startswith(f"* * * * * {ME} [ ! -x {COMMAND[0]} ] ||")
    assert last.endswith(f"|| {' '.join(COMMAND)} run")
    assert f"CRONQ_CONFIG={project.directory}/cronq.toml\n" in printed


def test_several_files_are_each_preceded_by_their_place(project: Project) -> None:
    printed = project.done("print-config", "systemd")
    places = [line for line in printed.splitlines() if line.startswith("# /etc/")]
    assert places[0] == "# /etc/systemd/system/cronq-listen.service"
    assert places[-2:] == ["# /etc/sysusers.d/cronq.conf", "# /etc/tmpfiles.d/cronq.conf"]
    assert len(places) == 9


def test_one_of_several_files_is_chosen_by_its_name(project: Project) -> None:
    assert project.done("print-config", "systemd", "--file", "cronq-run.timer").count("[Unit]") == 1
    assert project.done("print-config", "systemd", "--file", "sysusers.d/cronq.conf").splitlines()[1].startswith("u ")


def test_files_are_written_to_their_places_below_a_directory(project: Project) -> None:
    root = project.directory / "root"
    paths = project.done("print-config", "xinetd", "--into", str(root)).splitlines()
    assert paths == [f"{root}/etc/xinetd.d/cronq", f"{root}/etc/xinetd.d/cronq-listen"]
    assert {os.stat(path).st_mode & 0o777 for path in paths} == {0o644}  # noqa: PTH116
    printed = project.done("print-config", "xinetd", "--file", "cronq")
    assert (root / "etc/xinetd.d/cronq").read_text() == f"{printed}\n"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("upstart",), 65, "there are no files for 'upstart'"),
        (("systemd", "--file", "cronq.timer"), 65, "--file: there is no 'cronq.timer' among cronq-listen.service"),
        (("cron", "--user", "nobody-at-all"), 65, "--user: there is no user 'nobody-at-all'"),
        (("cron", "--into", "/dev/null"), 74, "Not a directory"),
        ((), 64, "Missing argument"),
    ],
)
def test_what_cannot_be_printed_is_one_line(
    project: Project, arguments: tuple[str, ...], status: int, said: str
) -> None:
    ran = project.cronq("print-config", *arguments)
    assert (ran.status, ran.stdout) == (status, "")
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


@pytest.mark.needs("systemd-analyze")
def test_units_of_this_installation_are_as_systemd_wants_them(project: Project) -> None:
    paths = project.done("print-config", "systemd", "--into", str(project.directory)).splitlines()
    units = [path for path in paths if "/systemd/system/" in path]
    search = f"{project.directory}/etc/systemd/system:/usr/lib/systemd/system:/lib/systemd/system"
    verified = subprocess.run(
        [str(program("systemd-analyze")), "verify", "--man=no", *units],
        env={"SYSTEMD_UNIT_PATH": search},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
