"""Set up a project: write its cronq.toml and a first task, and find the Cronq object in its code."""

from __future__ import annotations

import ast
import json
import os
from importlib.resources import files
from typing import TYPE_CHECKING

from cronq.errors import ConfigError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DEPTH = 3
_LARGEST = 1 << 20
"""Maximum size of a searched file, in bytes."""

_OWN = 0o600
"""The mode of cronq.toml: only its owner may read it, as it may hold a database's password."""

_NOT_CODE = {"node_modules", "site-packages", "tests", "test", "docs", "build", "dist"}


def found_apps(place: Path) -> list[str]:
    """Find the names that modules below a directory give to Cronq objects, as `module:name`.

    The code is read, not imported. Left out are hidden directories, virtual environments and tests.
    """
    return sorted(f"{_module(path, place)}:{name}" for path in _sources(place, _DEPTH) for name in _queues(path))


def _sources(place: Path, depth: int) -> Iterator[Path]:
    for path in sorted(place.iterdir()):
        if path.is_symlink() or path.name.startswith("."):
            continue
        if path.suffix == ".py" and path.is_file() and path.stat().st_size <= _LARGEST:
            yield path
        elif depth and path.is_dir() and path.name not in _NOT_CODE and not (path / "pyvenv.cfg").exists():
            yield from _sources(path, depth - 1)


def _queues(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8", errors="replace")
    if "Cronq" not in text:
        return
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError):
        return
    for one in statements:
        targets = one.targets if isinstance(one, ast.Assign) else [one.target] if isinstance(one, ast.AnnAssign) else []
        value = getattr(one, "value", None)
        if targets and isinstance(value, ast.Call) and "Cronq" in ast.unparse(value.func).split("."):
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def _module(path: Path, place: Path) -> str:
    parts = path.relative_to(place).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def write_configuration(path: Path, *, database: str, app: str | None, timezone: str | None) -> None:
    """Write a commented cronq.toml that only its owner can read.

    Raises InvalidInput if the file exists already, ConfigError if it can't be written.
    """
    given = {
        "database": _quoted(database),
        "app": '# app = "jobs:queue"' if app is None else f"app = {_quoted(app)}",
        "timezone": _quoted(timezone or "UTC"),
    }
    text = _template("cronq.toml")
    for name, value in given.items():
        text = text.replace(f"@{name}@", value)
    _write_new(path, text, _OWN)


def write_first_task(place: Path, app: str) -> Path:
    """Write the module of an app with one task; return its path.

    Raises InvalidInput unless the app is `queue` in a new module of one word, ConfigError if it can't be written.
    """
    module, _, name = app.partition(":")
    if name != "queue" or "." in module:
        raise InvalidInput(f"--app: there is no {app}: only a module of one word can be made, as in --app jobs:queue")
    path = place / f"{module}.py"
    _write_new(path, _template("jobs.txt"), 0o644)
    return path


def _write_new(path: Path, text: str, mode: int) -> None:
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise InvalidInput(f"{path}: there is such a file already") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be written: {error.strerror}") from None
    with os.fdopen(number, "w", encoding="utf-8") as file:
        file.write(text)


def _template(name: str) -> str:
    return (files("cronq") / "templates" / "project" / name).read_text(encoding="utf-8")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
