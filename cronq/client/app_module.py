"""Import the object that `app` in the configuration names."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from cronq.config.loader import others_write, why_untrusted
from cronq.errors import ConfigError

if TYPE_CHECKING:
    from cronq.config.loader import Config

given: ContextVar[Config | None] = ContextVar("given", default=None)
"""The config of the command that imports the app; `Cronq.from_config` in the app uses it."""

at_hand: ContextVar[Any] = ContextVar("at_hand", default=None)
"""The Cronq object of the program that runs a command in its own process, as `flask cronq` does."""


def load(app: str, config: Config) -> Any:
    """Import `module:attribute`, or import and call `module:factory()`.

    Raises ConfigError with the reason if that fails or there is no such attribute.
    """
    module_name, _, attribute = app.partition(":")
    place = _place_of_modules(config)
    _look_first_in(place)
    found = _import(module_name, config, place)
    path = attribute.removesuffix("()")
    for part in path.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise ConfigError(f"app = {app!r}: there is no {path} in {module_name}")
    return found if path == attribute else _made(found, app, config)


def look_beside(config: Config) -> None:
    """Put the directory in which an app's modules are looked for on the import path, for the modules of `allow`.

    This is not done if other users can write to the directory.
    """
    if config.allow:
        with suppress(ConfigError):
            _look_first_in(_place_of_modules(config))


def _look_first_in(place: str) -> None:
    if place not in ("", *sys.path[:1]):
        sys.path.insert(0, place)


def _made(factory: Any, app: str, config: Config) -> Any:
    """Call the factory of an application, with the command's config in `given` as during an import."""
    token = given.set(config)
    try:
        return factory()
    except (Exception, SystemExit) as error:
        raise ConfigError(f"app = {app!r}: calling it failed: {type(error).__name__}: {error}") from error
    finally:
        given.reset(token)


def _place_of_modules(config: Config) -> str:
    """Return the directory in which modules are looked for first; empty if it is the current one and untrusted.

    Raises ConfigError if others can write to the directory of the config file.
    """
    if config.file is None:
        here = os.getcwd()  # noqa: PTH109 - pathlib is slow to import
        return "" if why_untrusted(here, os.stat(here)) else here  # noqa: PTH116
    place = os.path.dirname(config.file)  # noqa: PTH120
    if others_write(os.stat(place)):  # noqa: PTH116
        problem = f"others can write to {place}, where the modules of the app are looked for"
        raise ConfigError(f"{config.file}: app = {config.app!r}: {problem}: move both to a directory of your own")
    return place


def _import(module_name: str, config: Config, place: str) -> Any:
    token = given.set(config)
    try:
        return importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        reason = f"importing {module_name} failed{_line_of(error, place)}: {type(error).__name__}: {error}"
        hint = "" if place else f" (not looked for in {os.getcwd()}, because other users can put modules there)"  # noqa: PTH109
        raise ConfigError(f"app = {config.app!r}: {reason}{hint}") from error
    finally:
        given.reset(token)


def _line_of(error: BaseException, place: str) -> str:
    """Return the line at which the import failed, in the app's own files if possible; empty if none was run."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" at {error.filename}:{error.lineno}"
    importing = ("<frozen importlib", importlib.__file__, __file__)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(importing)]
    own = [frame for frame in frames if place and frame.filename.startswith(f"{place}/")]
    return next((f" at {frame.filename}:{frame.lineno}" for frame in reversed(own or frames)), "")
