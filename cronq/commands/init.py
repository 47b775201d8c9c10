"""`cronq init`: set up a project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.commands import bulk
from cronq.commands import options as given
from cronq.errors import InvalidInput

if TYPE_CHECKING:
    from cronq.commands import Invocation

_EXAMPLE = """\
Example:

\b
  cronq init
  cronq init --app jobs:queue --crontab
  cronq --db mysql+pymysql://shop:secret@db/shop init

Exit status: 0 done, or all was there already, 65 no such app, or several of which none was chosen,
78 a file or the crontab can't be written, or the configuration that is there has a mistake.
"""

App = Annotated[
    str | None,
    typer.Option("--app", metavar="MODULE:NAME", help="The Cronq object. Default: found; jobs:queue is made if new."),
]
Crontab = Annotated[
    bool | None,
    typer.Option("--crontab/--no-crontab", help="Add the line to your crontab, or don't ask.", show_default=False),
]


def _init(context: typer.Context, *, app: App = None, crontab: Crontab = None) -> None:
    """Write cronq.toml for this directory and the crontab's line.

    What exists stays as it is, so the command can be repeated. --config chooses another file, --db the
    database. On a terminal it asks before it changes the crontab; elsewhere only --crontab does.
    """
    from cronq.deploy.installation import is_there
    from cronq.render.text import write

    call = given.invocation(context)
    path = Path(call.file or "cronq.toml").absolute()
    lines = _kept(path, app) if is_there(path) else _made(call, path, app)
    call.file = str(path)
    write([*lines, *_checked(call)])
    write([_started(str(path), crontab=crontab), "next: cronq doctor"])


def _kept(path: Path, app: str | None) -> list[str]:
    if app is not None:
        raise InvalidInput(f"{path} is there already: set `app` in it")
    return [f"kept {path}: it is there already"]


def _made(call: Invocation, path: Path, app: str | None) -> list[str]:
    from cronq.config import settings
    from cronq.deploy.project import write_configuration, write_first_task
    from cronq.schedules.importing import host_timezone

    database = call.database or "sqlite:///cronq.db"
    settings.read({"database": database}, where="--db")
    lines = []
    chosen = _app(path.parent, app)
    if chosen is not None and not _is_there(path.parent, chosen):
        lines.append(f"wrote {write_first_task(path.parent, chosen)}: a first task, hello")
    write_configuration(path, database=database, app=chosen, timezone=host_timezone())
    return [*lines, f"wrote {path}"]


def _app(place: Path, wanted: str | None) -> str | None:
    from cronq.deploy.project import found_apps

    if wanted is not None:
        return wanted
    found = found_apps(place)
    if len(found) > 1:
        raise InvalidInput(f"there are several Cronq objects: choose one with --app: {', '.join(found)}")
    return found[0] if found else None


def _is_there(place: Path, app: str) -> bool:
    from cronq.deploy.installation import is_there

    module = place.joinpath(*app.partition(":")[0].split("."))
    return is_there(module.with_suffix(".py")) or module.is_dir()


def _checked(call: Invocation) -> list[str]:
    """Read the configuration as the other commands do; return lines with its database, app and time zone."""
    config = call.config
    app = config.app or "none: only shell commands run; set `app` in the file to run Python"
    return [f"database {config.safe_database()}", f"app {app}", f"time zone {config.timezone}"]


def _started(file: str, *, crontab: bool | None) -> str:
    """Add the line to the crontab if --crontab or the user's answer says so; return the message about it."""
    from cronq.deploy.crontab import add, line_for
    from cronq.deploy.installation import own_program

    line = line_for(own_program(), file)
    if crontab is None:
        crontab = bulk.is_interactive() and bulk.asks(f"add to your crontab: {line}")
    if not crontab:
        return f"to run what is due each minute, put this into your crontab (`crontab -e`):\n{line}"
    there = add(line, file=file)
    return f"added to your crontab: {line}" if there is None else f"your crontab has it already: {there}"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("init", epilog=_EXAMPLE)(_init)
