"""`cronq schedules check`: check schedules without a database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.commands import options as given
from cronq.errors import ConfigError

if TYPE_CHECKING:
    from cronq.config.loader import Config

_EXAMPLE = """\
Example:

\b
  cronq schedules check
  cronq schedules check deploy/cronq.toml

Exit status: 0 no error, warnings or not; 78 a schedule, or the configuration, is wrong.
"""


def _check(
    context: typer.Context,
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="A configuration file.", show_default=False)
    ] = None,
    *,
    as_json: given.AsJson = False,
) -> int:
    """Check the schedules of a configuration file, for CI: no database is opened, no app imported.

    Errors go to stderr. Warnings go to stdout: a step that doesn't divide its field, day of month
    beside weekday, a fixed time without a time zone, times that a change of the clocks skips.
    """
    from cronq.config import loader
    from cronq.render.text import complain, document, write

    config = given.invocation(context).config if file is None else loader.load(file=file)
    found = _Findings(config)
    if as_json:
        write([document({"schedules": len(config.schedules), "errors": found.errors, "warnings": found.warnings})])
    else:
        write(f"{one['schedule']}: {one['message']}" for one in found.warnings)
    for one in found.errors:
        complain(one["message"])
    return ConfigError.exit_status if found.errors else 0


class _Findings:
    """Errors and warnings on every schedule of a configuration."""

    def __init__(self, config: Config) -> None:
        self.errors: list[dict[str, str]] = []
        self.warnings: list[dict[str, str]] = []
        now = datetime.now(UTC)
        for name in sorted(config.schedules):
            self._look_at(name, config, now)

    def _look_at(self, name: str, config: Config, now: datetime) -> None:
        from cronq.schedules.advice import warnings
        from cronq.schedules.definition import read_one

        zone_is_given = "timezone" in config.schedules[name] or config.origins["timezone"] != "default"
        try:
            definition = read_one(config, name)
        except ConfigError as error:
            self.errors.append({"schedule": name, "message": str(error)})
        else:
            told = warnings(definition, zone_is_given=zone_is_given, now=now)
            self.warnings += [{"schedule": name, "message": message} for message in told]


def register(app: typer.Typer) -> None:
    """Add the command to those on schedules."""
    app.command("check", epilog=_EXAMPLE)(_check)
