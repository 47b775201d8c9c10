"""Make a real Django project on a database of its own, and run its manage.py as a person would."""

from __future__ import annotations

import functools
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests import databases, servers
from tests.frameworks import Programs

ROOT = Path(__file__).parents[2]
SITE = Path(__file__).parent / "site"
_ENGINES_OF_DJANGO = {"mariadb": "mysql", "mysql": "mysql", "postgresql": "postgresql"}


class Site:
    """A copy of the project in tests/django/site."""

    def __init__(self, directory: Path, engine: str = "sqlite", **options: Any) -> None:
        self.directory = directory / "site"
        shutil.copytree(SITE, self.directory, ignore=shutil.ignore_patterns("__pycache__"))
        self.database = _database(engine, self.directory)
        self.options = options

    @property
    def programs(self) -> Programs:
        """A runner of Python programs in the project, with its settings."""
        return Programs(
            self.directory,
            DJANGO_SETTINGS_MODULE="settings",
            SITE_DATABASE=json.dumps(self.database),
            SITE_OPTIONS=json.dumps(self.options),
        )

    def run(self, *arguments: str | int, status: int = 0, seconds: float = 120, **more: str) -> str:
        """Run Python with these arguments to its end; it must have this exit status. Return all its output."""
        ran = self.programs.run(*arguments, seconds=seconds, **more)
        output = ran.stdout + ran.stderr
        assert ran.status == status, output
        return output

    def manage(self, *arguments: str | int, **more: Any) -> str:
        """Run `manage.py ARGUMENTS`."""
        return self.run("manage.py", *arguments, **more)

    def cronq(self, *arguments: str | int, **more: Any) -> str:
        """Run `cronq ARGUMENTS`."""
        return self.run("-m", "cronq", *arguments, **more)

    def python(self, code: str, **more: Any) -> str:
        """Run code in the project after django.setup(); return its output."""
        return self.run("-c", f"import django; django.setup()\n{code}", **more).strip()


def migrated(directory: Path, **options: Any) -> Site:
    """Make a site on SQLite with all tables, copied from one that is made once: that takes longer than most tests."""
    site = Site(directory, **options)
    Path(site.database["NAME"]).write_bytes(_tables())
    return site


@functools.cache
def _tables() -> bytes:
    with tempfile.TemporaryDirectory() as place:
        site = Site(Path(place))
        site.manage("migrate", "-v0")
        file = Path(site.database["NAME"])
        assert not file.with_name(f"{file.name}-wal").exists(), "a part of the tables lies in the write-ahead log"
        return file.read_bytes()


def _database(engine: str, directory: Path) -> dict[str, Any]:
    if engine == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(directory / "site.sqlite3"),
            "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL;", "transaction_mode": "IMMEDIATE"},
        }
    servers.require(engine)
    server, name = databases.shared(engine), f"site{os.getpid()}_{abs(hash(directory)) % 10**8}"
    server.execute(f"CREATE DATABASE {name}")
    parts = urlsplit(server.url(name))
    return {
        "ENGINE": f"django.db.backends.{_ENGINES_OF_DJANGO[engine]}",
        "NAME": name,
        "HOST": parts.hostname,
        "PORT": str(parts.port),
        "USER": parts.username,
        "OPTIONS": {} if engine == "postgresql" else {"charset": "utf8mb4"},
    }
