"""`cronq schedules import`: make schedules of a crontab."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.errors import ConfigError, InvalidInput
from cronq.times import iso

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.schedules.importing import Import, Imported

_COMPARED = 1000
_SYSTEM = ("/etc/crontab", "/etc/cron.d")

_EXAMPLE = """\
Example:

\b
  crontab -l | cronq schedules import - >schedules.toml
  cronq schedules import /etc/cron.d/backup --system --verify

Exit status: 0 every job was carried over, 1 a line was not, or --verify found a difference, 65 bad input, 74 the file
can't be read, 78 configuration.
"""


def _import(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A crontab; - for stdin.", show_default=False)],
    *,
    system: Annotated[bool, typer.Option("--system", help="Each line names a user, as in /etc/crontab.")] = False,
    timezone: Annotated[
        str | None, typer.Option("--timezone", metavar="ZONE", help="The time zone of the crontab's host.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare the next 1,000 due times with cron's.")] = False,
) -> int:
    """Print the jobs of a crontab as schedules for cronq.toml.

    What can't be carried over is listed on stderr, line by line. The time zone is CRON_TZ of the crontab,
    else this host's. Files in /etc/cron.d and /etc/crontab are read as with --system. With --verify
    nothing is printed but the differences.
    """
    from cronq.render.text import complain, write
    from cronq.schedules.crontab import Crontab
    from cronq.schedules.importing import Import, lines_of

    source = "stdin" if file == "-" else file
    crontab = Crontab(_text(file), system=system or file.startswith(_SYSTEM))
    made = Import(crontab, source=source, timezone=timezone or _host_timezone())
    for line in lines_of(made.notes, source):
        complain(line)
    differences = list(_differences(made, source)) if verify else []
    if verify:
        write([*differences, f"{len(made.schedules)} schedules compared, {len(differences)} differ"])
    elif made.schedules:
        write([made.toml().rstrip("\n")])
    return int(bool(differences) or any(note.lost for note in made.notes))


def _text(file: str) -> str:
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InvalidInput(f"{file}: expected UTF-8, line {line} is not") from None


def _host_timezone() -> str:
    from cronq.schedules.importing import host_timezone

    zone = host_timezone()
    if zone is None:
        raise ConfigError("this host doesn't say its time zone: give the one of the crontab's host, --timezone ZONE")
    return zone


def _differences(made: Import, source: str) -> Iterator[str]:
    now = datetime.now(UTC)
    for one in made.schedules:
        told = _difference(one, now)
        if told:
            yield f"{source}:{one.job.line}: {one.definition.name}: {told}"


def _difference(one: Imported, now: datetime) -> str | None:
    from cronq.schedules.cron_daemon import CronDaemon
    from cronq.times import from_datetime

    cron = CronDaemon(one.job.expression, one.definition.timezone).starts(now)
    ours = one.definition.rule().following(now)
    for theirs, mine in zip(islice(cron, _COMPARED), ours, strict=False):
        if theirs != mine:
            return f"cron starts it at {iso(from_datetime(theirs))}, the schedule is due at {iso(from_datetime(mine))}"
    return None


def register(app: typer.Typer) -> None:
    """Add the command to those on schedules."""
    app.command("import", epilog=_EXAMPLE)(_import)
