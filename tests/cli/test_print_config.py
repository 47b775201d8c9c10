"""`cronq print-config`: files that name this installation."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq.config import loader
from tests.project import COMMAND, Project
from tests.servers import program

ME = pwd.getpwuid(os.geteuid()).pw_name


def test_one_file_is_printed_as_it_is(project: Project) -> None:
    printed = project.done("print-config", "cron", "--user", ME)
    assert printed.startswith("# Runs all due jobs")
    last = printed.splitlines()[-1]
    assert last.startswith(f"* * * * * {ME} : cronq run; [ ! -x {COMMAND[0]} ] ||")
    assert last.endswith(f"|| {' '.join(COMMAND)} run")
    assert f"CRONQ_CONFIG={project.directory}/cronq.toml\n" in printed


def test_several_files_are_each_preceded_by_their_place(project: Project) -> None:
    printed = project.done("print-config", "systemd")
    places = [line for line in printed.splitlines() if line.startswith("# /etc/")]
    assert places[0] == "# /etc/systemd/system/cronq-listen.service"
    assert places[-2:] == ["# /etc/sysusers.d/cronq.conf", "# /etc/tmpfiles.d/cronq.conf"]
    assert len(places) == 10


def test_one_of_several_files_is_chosen_by_its_name(project: Project) -> None:
    assert project.done("print-config", "systemd", "--file", "cronq-run.timer").count("[Unit]") == 1
    assert project.done("print-config", "systemd", "--file", "sysusers.d/cronq.conf").splitlines()[1].startswith("u ")


def test_files_are_written_to_their_places_below_a_directory(project: Project) -> None:
    root = project.directory / "root"
    paths = project.done("print-config", "xinetd", "--into", str(root)).splitlines()
    assert paths == [f"{root}/etc/xinetd.d/cronq", f"{root}/etc/xinetd.d/cronq-listen"]  # the files name another one
    assert {os.stat(path).st_mode & 0o777 for path in paths} == {0o644}  # noqa: PTH116
    printed = project.done("print-config", "xinetd", "--file", "cronq")
    assert (root / "etc/xinetd.d/cronq").read_text() == f"{printed}\n"


def test_installing_makes_all_users_mean_one_queue(project: Project) -> None:
    (project.directory / "cronq.toml").unlink()
    root = project.directory / "root"
    paths = project.done("print-config", "cron", "--user", ME, "--into", str(root)).splitlines()
    assert paths == [f"{root}/etc/cron.d/cronq", f"{root}/etc/cronq/cronq.toml"]
    home = pwd.getpwuid(os.geteuid()).pw_dir
    assert loader.load(file=paths[1], environ={}).sqlite_path() in {
        f"{home}/cronq.db", f"{home}/.local/state/cronq/cronq.db"
    }  # fmt: skip
    (root / "etc/cronq/cronq.toml").write_text("jobs = 7\n")
    again = project.done("print-config", "cron", "--user", ME, "--into", str(root)).splitlines()
    assert again == paths[:1]
    assert (root / "etc/cronq/cronq.toml").read_text() == "jobs = 7\n"


def test_mail_goes_to_whom_it_shall(project: Project) -> None:
    assert "\nMAILTO=ann@example.org\n" in project.done(
        "print-config", "cron", "--user", ME, "--mailto", "ann@example.org"
    )
    assert "MAILTO" not in project.done("print-config", "cron", "--user", ME)
    refused = project.cronq("print-config", "cron", "--user", ME, "--mailto", "ann example")
    assert refused.status == 65
    assert "'ann example'" in refused.stderr


NOBODY_YET = "cronq-test-user"


@pytest.fixture
def no_such_user() -> Iterator[str]:
    """A name that no user has, before and after the test."""
    _remove_user()
    try:
        yield NOBODY_YET
    finally:
        _remove_user()


def _remove_user() -> None:
    subprocess.run([str(program("userdel")), "--remove", NOBODY_YET], capture_output=True, check=False)
    with pytest.raises(KeyError):
        pwd.getpwnam(NOBODY_YET)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs")
def test_files_for_a_user_that_does_not_exist_are_not_installed(project: Project, no_such_user: str) -> None:
    refused = project.cronq("print-config", "cron", "--user", no_such_user, "--into", "/")
    assert refused.status == 65
    assert f"there is no user '{no_such_user}' on this host; --create-user makes it" in refused.stderr
    assert not Path("/etc/cron.d/cronq").exists()


@pytest.mark.skipif(os.geteuid() != 0 or program("useradd") is None, reason="only root makes users")
def test_the_user_is_made_when_asked_for(project: Project, no_such_user: str) -> None:
    (project.directory / "cronq.toml").unlink()
    root = project.directory / "root"
    project.done("print-config", "cron", "--user", no_such_user, "--create-user", "--into", str(root))
    made = pwd.getpwnam(no_such_user)
    assert (made.pw_dir, made.pw_shell) == (f"/var/lib/{no_such_user}", "/usr/sbin/nologin")
    assert Path(made.pw_dir).stat().st_uid == made.pw_uid
    assert f"* * * * * {no_such_user} : cronq run; " in (root / "etc/cron.d/cronq").read_text()
    assert f"sqlite:////var/lib/{no_such_user}/cronq.db" in (root / "etc/cronq/cronq.toml").read_text()


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
