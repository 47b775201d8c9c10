"""`cronq print-config`: print the files for cron, xinetd, systemd, supervisor, logrotate or nginx."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.commands import options as given
from cronq.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.deploy.files import SystemFile
    from cronq.deploy.installation import Installation

_EXAMPLE = """\
Example:

\b
  cronq print-config cron >/etc/cron.d/cronq
  cronq print-config systemd --file cronq-run.timer
  cronq print-config systemd --user shop --into /

Exit status: 0 done, 65 no such kind, file or user, or a path that such files can't hold,
74 a file can't be written, 78 configuration.
"""

Kind = Annotated[
    str,
    typer.Argument(metavar="KIND", help="cron, xinetd, systemd, supervisor, logrotate or nginx.", show_default=False),
]
User = Annotated[
    str | None,
    typer.Option("--user", metavar="NAME", help="The user that runs the jobs (default: you; as root: cronq)."),
]
File = Annotated[str | None, typer.Option("--file", metavar="NAME", help="Only this one of several files.")]
Into = Annotated[
    str | None,
    typer.Option("--into", metavar="DIR", help="Write the files to their places below DIR; prints their paths."),
]


MailTo = Annotated[
    str | None, typer.Option("--mailto", metavar="ADDRESS", help="Address to which cron mails the output of runs.")
]
CreateUser = Annotated[bool, typer.Option("--create-user", help="Make the user if there is none.")]


def _print_config(  # noqa: PLR0913 - there are as many options
    context: typer.Context,
    kind: Kind,
    *,
    user: User = None,
    file: File = None,
    into: Into = None,
    mailto: MailTo = None,
    create_user: CreateUser = False,
) -> None:
    """Print the files for cron, xinetd, systemd, nginx and others.

    They name this installation's command and, if jobs wouldn't find it by themselves, its
    configuration file; never what comes from the environment or from flags, such as --db.
    """
    from cronq.deploy import installation as installed
    from cronq.deploy.files import system_files
    from cronq.render.text import complain, write

    if create_user and installed.is_missing(user or installed.SERVICE_USER):
        installed.create(user or installed.SERVICE_USER)
    installation = installed.this_installation(given.invocation(context).config, user=user, mailto=mailto)
    chosen = _chosen(system_files(kind, installation), file)
    lacking = kind in _NEED_A_USER and installed.is_missing(installation.user)
    if into is None:
        write(_printed(chosen))
        if lacking:
            complain(f"there is no user {installation.user} on this host yet: create it before this file is in place")
        return
    if lacking and Path(into).resolve() == Path("/"):
        raise InvalidInput(
            f"there is no user {installation.user} on this host, so nothing would start: --create-user makes it"
        )
    write([_write(found, Path(into)) for found in [*chosen, *_shared_configuration(installation, Path(into))]])


_NEED_A_USER = ("cron", "xinetd", "supervisor")
"""The kinds whose files need a user and don't create it."""


def _shared_configuration(installation: Installation, root: Path) -> list[SystemFile]:
    """Return the configuration that all users share, unless it exists below `root` or the user has another."""
    from cronq.deploy.files import configuration
    from cronq.deploy.installation import has_own_configuration, is_there

    file = configuration(installation)
    there = is_there(root / file.path.removeprefix("/"))
    return [] if there or has_own_configuration(installation) else [file]


def _chosen(files: list[SystemFile], name: str | None) -> list[SystemFile]:
    names = [Path(file.path).name if name and "/" not in name else file.name for file in files]
    chosen = [file for file, its_name in zip(files, names, strict=True) if name in (None, its_name)]
    if not chosen:
        raise InvalidInput(f"--file: there is no {name!r} among {', '.join(names)}")
    return chosen


def _printed(files: Sequence[SystemFile]) -> list[str]:
    if len(files) == 1:
        return [files[0].text.removesuffix("\n")]
    return ["\n".join(f"# {file.path}\n{file.text}" for file in files).removesuffix("\n")]


def _write(file: SystemFile, root: Path) -> str:
    path = root / file.path.removeprefix("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(file.text)
    path.chmod(0o644)
    return str(path)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    app.command("print-config", epilog=_EXAMPLE)(_print_config)
