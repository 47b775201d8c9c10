"""Describe this installation for generated files: the command, user, directories and configuration."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
from dataclasses import dataclass
from grp import getgrgid
from pathlib import Path
from typing import TYPE_CHECKING

from cronq.config import django_project
from cronq.config.loader import SYSTEM_FILE
from cronq.errors import ConfigError, InvalidInput

if TYPE_CHECKING:
    from cronq.config.loader import Config

SERVICE_USER = "cronq"
_NO_SHELL = "/usr/sbin/nologin"
_PEOPLE = ("/home", "/root", "/run/user")
_PLAIN = re.compile(r"[A-Za-z0-9_./+,:@-]+")


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One installation; the defaults are a package's: /usr/bin/cronq with its own user."""

    program: str = "/usr/bin/cronq"
    arguments: tuple[str, ...] = ()
    """Arguments before the command word."""
    user: str = SERVICE_USER
    group: str = SERVICE_USER
    home: str = "/var/lib/cronq"
    config: str | None = None
    """The configuration file, None if cronq finds it by itself as this user."""
    project: tuple[tuple[str, str], ...] = ()
    """Variables by which a Django project is found: its settings and its directory."""
    writable: tuple[str, ...] = ()
    """Directories outside the home that jobs must write to."""
    among_people: bool = False
    """Whether a needed file is in a home directory."""
    grace: float = 10.0
    database: str = ""
    """The database in the configuration that all users share; empty for a file in the home."""
    mailto: str | None = None
    """The address to which cron mails the output of runs."""

    def __post_init__(self) -> None:
        """Refuse values that one of the files would read as two words, a comment or a variable."""
        values = (value for _, value in self.project)
        places = (self.program, self.user, self.home, *self.writable, *values)
        for text in (*places, self.config or self.home, self.mailto or "a"):
            if not _PLAIN.fullmatch(text):
                raise InvalidInput(f"{text!r} can't stand in these files: only A-Z a-z 0-9 _ . / + , : @ - can")


def this_installation(config: Config, *, user: str | None = None, mailto: str | None = None) -> Installation:
    """Describe the running command for `user`; by default the caller, or `cronq` if that is root.

    Raises InvalidInput if there is no such user, or a path contains a character that the files can't hold.
    """
    account = _account(user or _usual_user())
    program, *arguments = own_program()
    file = config.file if config.file not in _found_anyway(account.home) else None
    writable = tuple(path for path in _places(config) if not _within(path, (account.home,)))
    needed = (account.home, program, sys.prefix, sys.base_prefix, file or account.home, *writable)
    return Installation(
        program=program,
        arguments=tuple(arguments),
        user=account.user,
        group=account.group,
        home=account.home,
        config=file,
        project=_project(config),
        writable=writable,
        among_people=any(_within(path, _PEOPLE) for path in needed),
        grace=config.grace,
        database=f"sqlite:///{_queue_of(account.home)}",
        mailto=mailto,
    )


def has_own_configuration(installation: Installation) -> bool:
    """Tell whether the user's runs read another file than the one that all users share."""
    return installation.config is not None or is_there(Path(installation.home, ".config/cronq/cronq.toml"))


def is_there(path: Path) -> bool:
    """Tell whether a file exists. Raises PermissionError if this user may not see that.

    Path.exists() does so only before Python 3.14.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_missing(user: str) -> bool:
    """Tell whether there is no such user on this host."""
    try:
        pwd.getpwnam(user)
    except KeyError:
        return True
    return False


def create(user: str) -> None:
    """Create a user without a password, with a home for the queue. Raises ConfigError if that fails."""
    home = f"/var/lib/{user}"
    command = ["useradd", "--system", "--user-group", "--create-home", "--home-dir", home, "--shell", _NO_SHELL, user]
    try:
        # The PATH of sudo or cron may lack the directories of root's programs.
        path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
        made = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ConfigError(f"useradd: {error.strerror}: create the user {user} by hand, with the home {home}") from None
    if made.returncode:
        raise ConfigError(f"useradd {user}: {made.stderr.strip() or f'exit status {made.returncode}'}")


def _queue_of(home: str) -> str:
    """Return the path of this user's queue: the existing file, or the one that the shared configuration will name."""
    usual = f"{home}/.local/state/cronq/cronq.db"
    return usual if is_there(Path(usual)) else f"{home}/cronq.db"


def _usual_user() -> str:
    return SERVICE_USER if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def _account(user: str) -> Installation:
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        if user == SERVICE_USER:  # the generated files create it
            return Installation()
        raise InvalidInput(f"--user: there is no user {user!r} on this host; --create-user makes it") from None
    return Installation(user=user, group=getgrgid(entry.pw_gid).gr_name, home=entry.pw_dir)


def _project(config: Config) -> tuple[tuple[str, str], ...]:
    if config.app != django_project.APP:
        return ()
    module = os.environ.get(django_project.VARIABLE, "")
    return (django_project.VARIABLE, module), ("PYTHONPATH", str(Path.cwd()))


def own_program() -> list[str]:
    """Return the words that start this installation's cronq from any directory."""
    started = Path(sys.argv[0]).absolute()
    if started.is_file() and os.access(started, os.X_OK):
        return [str(started)]
    return [sys.executable, "-m", "cronq"]


def _found_anyway(home: str) -> tuple[str | None, ...]:
    return (None, SYSTEM_FILE, f"{home}/.config/cronq/cronq.toml")


def _places(config: Config) -> list[str]:
    file = config.database_file()
    chosen = {"lock_dir": config.lock_dir, "database": str(Path(file).parent) if file else ""}
    return [path for key, path in chosen.items() if path and config.origins[key] != "default"]


def _within(path: str, directories: tuple[str, ...]) -> bool:
    return any(path == directory or path.startswith(f"{directory}/") for directory in directories)
