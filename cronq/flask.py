"""Use cronq in a Flask application: `queue = FlaskCronq()`, and `queue.init_app(app)` in the factory."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from cronq.app import Cronq
from cronq.client import app_module
from cronq.config import settings
from cronq.config.loader import SCRATCH, load
from cronq.errors import ConfigError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from flask import Flask

    from cronq.config.loader import Config
    from cronq.times import Clock

__all__ = ["FlaskCronq"]

_PREFIX = "CRONQ_"
_WHERE = "Flask's app.config"


class FlaskCronq(Cronq):
    """The queue of a Flask application; each attempt of a job runs inside `app.app_context()`.

    The application's settings, such as `app.config["CRONQ_DATABASE"]`, override the configuration file; variables of
    the environment and the options of commands override both. Raises ConfigError.
    """

    def __init__(self, app: Flask | None = None) -> None:
        super().__init__(app_module.given.get() or load())
        self._app: Flask | None = None
        self._read = self.config
        """The configuration without the application's settings."""
        self.around_job(self._context)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Connect the queue to an application: read its settings, and add `flask cronq`.

        Raises ConfigError for a setting `CRONQ_…` that is unknown or wrong.
        """
        self._app = app
        app.extensions["cronq"] = self
        app.cli.add_command(_command(self))
        super().configure(self._merged(self._read))

    def configure(self, config: Config, *, clock: Clock | None = None) -> None:
        """Change to another config; the application's settings override it. Raises ConfigError."""
        self._read = config
        super().configure(self._merged(config), clock=clock)

    def _merged(self, config: Config) -> Config:
        if self._app is None or config.origins["database"] == SCRATCH:
            return config
        values = _values(self._app, config)
        return config.with_values(_WHERE, **values) if values else config

    def _context(self, _job: object) -> AbstractContextManager[Any]:
        if self._app is None:
            raise ConfigError('FlaskCronq has no application: name its factory, app = "shop:create_app()"')
        return self._app.app_context()


def _values(app: Flask, config: Config) -> dict[str, object]:
    """Return the settings of the application that neither the environment nor an option overrides."""
    known = {f"{_PREFIX}{key.upper()}": key for key in (*settings.SETTINGS, *settings.TABLES)}
    unknown = [name for name in app.config if name.startswith(_PREFIX) and name not in known]
    if unknown:
        raise ConfigError(f"{_WHERE}: {unknown[0]}: unknown key, known are {', '.join(known)}")
    given = {key: app.config[name] for name, key in known.items() if name in app.config}
    if isinstance(given.get("retry"), dict):
        given["retry"] = {name: value for name, value in given["retry"].items() if _is_under(config, f"retry.{name}")}
    return {key: value for key, value in given.items() if _is_under(config, key)}


def _is_under(config: Config, key: str) -> bool:
    return config.origins.get(key, "default").startswith(_UNDER)


_UNDER = ("default", "file ", _WHERE)
"""The beginnings of the origins of values that the application's settings override."""


def _command(queue: FlaskCronq) -> click.Command:
    @click.command(
        "cronq",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
        short_help="cronq's commands on this application's queue.",
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def command(arguments: tuple[str, ...]) -> None:
        from cronq.cli import main

        token = app_module.at_hand.set(queue)
        try:
            sys.exit(main(arguments, config=queue.config))
        finally:
            app_module.at_hand.reset(token)

    return command
