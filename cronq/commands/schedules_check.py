"""`cronq schedules check`: check schedules without a database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.commands import options as given
from cronq.errors import ConfigError

if TYPE_CHECKING:
    from cronq.app import Cronq
    from cronq.client.declared_schedules import DeclaredSchedule
    from cronq.config.loader import Config
    from cronq.schedules.definition import Definition

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
    """Check the schedules of a configuration file and of its app, for CI: no database is opened.

    Errors go to stderr. Warnings go to stdout: a step that doesn't divide its field, day of month
    beside weekday, a fixed time without a time zone, times that a change of the clocks skips, a
    task that the app doesn't know, arguments that don't fit it.
    """
    from cronq.config import loader
    from cronq.render.text import complain, document, write

    config = given.invocation(context).config if file is None else loader.load(file=file)
    found = _Findings(config)
    found.examine()
    if as_json:
        write([document({"schedules": found.number, "errors": found.errors, "warnings": found.warnings})])
    else:
        write(f"{one['schedule']}: {one['message']}" for one in found.warnings)
    for one in found.errors:
        complain(str(one["message"]))
    return ConfigError.exit_status if found.errors else 0


class _Findings:
    """The errors and warnings about the schedules of a configuration and its app."""

    def __init__(self, config: Config) -> None:
        self.number = 0
        """The number of schedules."""
        self.errors: list[dict[str, str | None]] = []
        self.warnings: list[dict[str, str | None]] = []
        self._zone_is_given = config.origins["timezone"] != "default"
        self._now = datetime.now(UTC)
        self._read: dict[str, Definition] = {}
        self._config = config

    def examine(self) -> None:
        """Import the app, and check each schedule that it or the configuration declares."""
        from cronq.client.declared_schedules import tables

        queue = self._load()
        declared = [*tables(self._config), *(queue.enqueuer.schedules if queue else ())]
        self.number = len({one.name for one in declared})
        for one in declared:
            self._look_at(one, queue)

    def _load(self) -> Cronq | None:
        """Import the app, whose decorators declare schedules.

        Return None without an app, or if it can't be imported, for example because of a wrong decorator;
        that is recorded as an error.
        """
        from cronq.app import load_app

        try:
            return load_app(self._config) if self._config.app is not None else None
        except ConfigError as error:
            self._tell(None, str(error))
            return None

    def _tell(self, name: str | None, message: str) -> None:
        self.errors.append({"schedule": name, "message": message})

    def _look_at(self, one: DeclaredSchedule, queue: Cronq | None) -> None:
        from cronq.client.declared_schedules import misfit
        from cronq.schedules.advice import warnings
        from cronq.schedules.definition import unite

        try:
            definition = one.read(self._config)
            unite([self._read.setdefault(one.name, definition)], [definition])
        except ConfigError as error:
            self._tell(one.name, str(error))
            return
        told = list(warnings(definition, zone_is_given=self._zone_is_given or "timezone" in one.table, now=self._now))
        problem = misfit(definition, queue.enqueuer) if queue else None
        told += [problem] if problem else []
        self.warnings += [{"schedule": one.name, "message": message} for message in told]


def register(app: typer.Typer) -> None:
    """Add the command to those on schedules."""
    app.command("check", epilog=_EXAMPLE)(_check)
