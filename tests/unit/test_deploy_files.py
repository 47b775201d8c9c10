"""What is printed for cron and its like: one source, and this installation's paths in it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from cronq.config.loader import SYSTEM_FILE, Config, load
from cronq.deploy.files import KINDS, SystemFile, configuration, system_files
from cronq.deploy.installation import Installation, this_installation
from cronq.errors import InvalidInput
from tests.project import ROOT

PACKAGING = ROOT / "packaging"
SHOP = Installation(
    program="/opt/python/bin/python3",
    arguments=("-m", "cronq"),
    user="shop",
    group="staff",
    home="/home/shop",
    config="/srv/shop/cronq.toml",
    writable=("/srv/shop/queue",),
    among_people=True,
    grace=60,
)
ME = pwd.getpwuid(os.geteuid())


def texts(installation: Installation) -> dict[str, str]:
    """All files by their names."""
    return {file.name: file.text for file in system_files("", installation)}


def test_files_under_packaging_are_those_of_a_standard_installation() -> None:
    rendered = texts(Installation())
    folders = {PACKAGING / Path(name).parent for name in rendered}
    shipped = {str(path.relative_to(PACKAGING)): path.read_text() for folder in folders for path in folder.iterdir()}
    assert shipped == rendered, "make packaging writes them anew"


def test_every_kind_has_its_files_and_every_file_its_kind() -> None:
    of_kinds = [file for kind in KINDS for file in system_files(kind, Installation())]
    assert sorted([*of_kinds, configuration(Installation())]) == sorted(system_files("", Installation()))


def test_a_kind_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no files for 'upstart', but for cron, xinetd"):
        system_files("upstart", Installation())


@pytest.mark.parametrize("file", system_files("", SHOP), ids=lambda file: file.name)
def test_nothing_of_the_standard_installation_is_left_in_anothers_files(file: SystemFile) -> None:
    lines = [line for line in file.text.splitlines() if not line.startswith(("#", ";"))]
    assert not [line for line in lines if "/usr/bin/cronq" in line or "/var/lib/cronq" in line]
    assert not [line for line in lines if "User=cronq" in line or "Group=cronq" in line]
    assert "@user@" not in file.text


def test_command_configuration_and_user_are_in_every_file_that_starts_something() -> None:
    written = texts(SHOP)
    assert "CRONQ_CONFIG=/srv/shop/cronq.toml\n" in written["cron.d/cronq"]
    assert written["cron.d/cronq"].endswith("|| /opt/python/bin/python3 -m cronq run\n")
    assert "* * * * * shop : cronq run; [ ! -x /opt/python/bin/python3 ]" in written["cron.d/cronq"]
    for name in ("xinetd.d/cronq", "xinetd.d/cronq-listen"):
        assert "server          = /opt/python/bin/python3\n" in written[name]
        assert "server_args     = -m cronq serve-inetd\n" in written[name]
        assert "HOME=/home/shop USER=shop LOGNAME=shop CRONQ_CONFIG=/srv/shop/cronq.toml\n" in written[name]
    for name, verb in {"cronq-run": "run", "cronq-listen": "serve-inetd", "cronq-work@": "work $WORK_OPTIONS"}.items():
        unit = written[f"systemd/{name}.service"]
        assert f"ExecStart=/opt/python/bin/python3 -m cronq {verb}\n" in unit
        assert "\nUser=shop\nGroup=staff\n" in unit
        assert "\nEnvironment=CRONQ_CONFIG=/srv/shop/cronq.toml\n" in unit
    assert 'HOME="/home/shop",USER="shop"' in written["supervisor/cronq.conf"]


def test_units_may_write_where_this_queue_lies_and_see_homes_only_if_they_need_them() -> None:
    unit = texts(SHOP)["systemd/cronq-run.service"]
    assert "\nReadWritePaths=-/home/shop\n" in unit
    assert "\nReadWritePaths=-/srv/shop/queue\n" in unit
    assert "\nProtectHome=read-only\n" in unit
    standard = texts(Installation())["systemd/cronq-run.service"]
    assert "\nStateDirectory=cronq\n" in standard
    assert ("lock/cronq" in unit, "lock/cronq" in standard) == (True, False), "its locks are in its own home"
    assert "\nProtectHome=yes\n" in standard


def test_time_to_end_grows_with_the_grace_of_the_configuration() -> None:
    assert "\nTimeoutStopSec=140\n" in texts(SHOP)["systemd/cronq-work@.service"]
    assert "\nstopwaitsecs=140\n" in texts(SHOP)["supervisor/cronq.conf"]


@pytest.mark.parametrize("path", ["/srv/my shop/cronq", "/srv/50%/cronq", '/srv/"/cronq', "/srv/$HOME", "/srv/a\nb"])
@pytest.mark.parametrize(
    "installed",
    [
        lambda path: Installation(program=path),
        lambda path: Installation(home=path),
        lambda path: Installation(config=path),
        lambda path: Installation(writable=(path,)),
    ],
)
def test_paths_that_such_files_cannot_hold_are_refused(installed: Callable[[str], Installation], path: str) -> None:
    with pytest.raises(InvalidInput, match="can't stand in these files"):
        installed(path)


def configured(directory: Path, text: str) -> Config:
    """A configuration file with this text."""
    file = directory / "cronq.toml"
    file.write_text(text)
    return load(file=str(file), environ={"HOME": ME.pw_dir})


def test_this_installation_is_for_whoever_asks_and_for_cronq_if_that_is_root(tmp_path: Path) -> None:
    expected = "cronq" if os.geteuid() == 0 else ME.pw_name
    assert this_installation(configured(tmp_path, "")).user == expected


def test_user_is_looked_up(tmp_path: Path) -> None:
    mine = this_installation(configured(tmp_path, ""), user=ME.pw_name)
    assert (mine.user, mine.home) == (ME.pw_name, ME.pw_dir)
    with pytest.raises(InvalidInput, match="--user: there is no user 'nobody-at-all'"):
        this_installation(configured(tmp_path, ""), user="nobody-at-all")


def test_places_and_grace_come_from_the_configuration(tmp_path: Path) -> None:
    text = 'database = "sqlite:////srv/queue/cronq.db"\nlock_dir = "/run/shop"\ngrace = "42s"\n'
    installation = this_installation(configured(tmp_path, text), user=ME.pw_name)
    assert sorted(installation.writable) == ["/run/shop", "/srv/queue"]
    assert installation.config == str(tmp_path / "cronq.toml")
    assert installation.grace == 42


def test_configuration_that_is_found_anyway_is_not_named() -> None:
    config = load(environ={"HOME": "/nonexistent"})
    assert this_installation(config, user=ME.pw_name).config in (None, config.file)
    config.file = SYSTEM_FILE
    assert this_installation(config, user=ME.pw_name).config is None
