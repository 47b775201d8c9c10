"""Generate the files for cron, xinetd, systemd, supervisor, logrotate and nginx, for one installation.

cronq/templates has their texts, with `@name@` for what differs between installations;
packaging/ has the files for the default one.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from cronq.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

    from cronq.deploy.installation import Installation

KINDS = {
    "cron": ("cron.d",),
    "xinetd": ("xinetd.d",),
    "systemd": ("systemd", "sysusers.d", "tmpfiles.d"),
    "supervisor": ("supervisor",),
    "logrotate": ("logrotate",),
    "nginx": ("nginx",),
}
"""The kinds of files, and their folders of templates."""

CONFIGURATION = "cronq"
"""The folder of the configuration that a host's users share."""

_INSTALLED = {
    "cron.d": "/etc/cron.d",
    "xinetd.d": "/etc/xinetd.d",
    "systemd": "/etc/systemd/system",
    "sysusers.d": "/etc/sysusers.d",
    "tmpfiles.d": "/etc/tmpfiles.d",
    "supervisor": "/etc/supervisor/conf.d",
    "logrotate": "/etc/logrotate.d",
    "nginx": "/etc/nginx/snippets",
    CONFIGURATION: "/etc/cronq",
}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PLACEHOLDER = re.compile(r"@(\w+)@")
_SHUTDOWN = 80
"""Seconds after SIGTERM for jobs to end and be settled, beside the grace of jobs that are killed."""


class SystemFile(NamedTuple):
    """One file: its place below packaging/, its place on a machine, its text."""

    name: str
    path: str
    text: str


def system_files(kind: str, installation: Installation) -> list[SystemFile]:
    """Generate all files of one kind, or of all kinds for "". Raises InvalidInput for an unknown kind."""
    if kind and kind not in KINDS:
        raise InvalidInput(f"there are no files for {kind!r}, but for {', '.join(KINDS)}")
    return _of(KINDS[kind] if kind else tuple(_INSTALLED), installation)


def configuration(installation: Installation) -> SystemFile:
    """Generate the configuration that all users of the host share, with the database of this installation."""
    [file] = _of((CONFIGURATION,), installation)
    return file


def _of(folders: tuple[str, ...], installation: Installation) -> list[SystemFile]:
    values = _values(installation)
    return [
        SystemFile(f"{folder}/{template.name}", f"{_INSTALLED[folder]}/{template.name}", _filled(template, values))
        for folder in folders
        for template in _templates(folder)
    ]


def _templates(folder: str) -> Iterator[Traversable]:
    yield from sorted((files("cronq") / "templates" / folder).iterdir(), key=lambda template: template.name)


def _filled(template: Traversable, values: dict[str, str]) -> str:
    text = template.read_text(encoding="utf-8").replace("@hardening@\n", _hardening())
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)


def _hardening() -> str:
    return (files("cronq") / "templates" / "systemd-hardening").read_text(encoding="utf-8")


def _values(installation: Installation) -> dict[str, str]:
    before_verb = "".join(f"{argument} " for argument in installation.arguments)
    environment = _environment(installation)
    return {
        "program": installation.program,
        "arguments": before_verb,
        "command": f"{installation.program} {before_verb}".rstrip(),
        "user": installation.user,
        "group": installation.group,
        "home": installation.home,
        "path": _PATH,
        "stop_after": f"{_SHUTDOWN + installation.grace:.0f}",
        "protect_home": "read-only" if installation.among_people else "yes",
        "database": installation.database or f"sqlite:///{installation.home}/cronq.db",
        "mailto": f"MAILTO={installation.mailto}\n" if installation.mailto else "",
        "config_in_crontab": "".join(f"{name}={value}\n" for name, value in _configuration(installation).items()),
        "environment_in_xinetd": " ".join(f"{name}={value}" for name, value in environment.items()),
        "environment_in_supervisor": ",".join(f'{name}="{value}"' for name, value in environment.items()),
        "account_in_unit": "\n".join(_account_in_unit(installation)),
        "places": "\n".join(_places(installation)),
    }


def _environment(installation: Installation) -> dict[str, str]:
    """Return the variables that cron would set, for programs that set fewer or another user's."""
    user, home = installation.user, installation.home
    environment = {"PATH": _PATH, "HOME": home, "USER": user, "LOGNAME": user}
    return environment | _configuration(installation)


def _configuration(installation: Installation) -> dict[str, str]:
    """Return the variables that commands need to find the configuration; none if they find it without."""
    return dict(installation.project) | ({"CRONQ_CONFIG": installation.config} if installation.config else {})


def _account_in_unit(installation: Installation) -> Iterator[str]:
    yield f"User={installation.user}"
    yield f"Group={installation.group}"
    yield "WorkingDirectory=~"
    yield "UMask=0027"
    for name, value in _configuration(installation).items():
        yield f"Environment={name}={value}"


def _places(installation: Installation) -> Iterator[str]:
    parent, _, name = installation.home.rpartition("/")
    if parent == "/var/lib":
        yield f"StateDirectory={name}"
        yield "StateDirectoryMode=0750"
    else:
        yield f"ReadWritePaths=-{installation.home}"
        # For the locks of a server's queue, where the home belongs to another user (www-data's /var/www does).
        yield "RuntimeDirectory=lock/cronq"
        yield "RuntimeDirectoryMode=0750"
        # If systemd removed the lock directory at a run's end, two runs could hold the lock.
        yield "RuntimeDirectoryPreserve=yes"
    yield from (f"ReadWritePaths=-{path}" for path in (*installation.writable, "/var/log/cronq"))
