"""Run programs of projects with a framework, as forks of a Python that has imported it (see tests/warm.py)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import warm
from tests.project import ROOT
from tests.started import Process
from tests.warm import Ran

IMPORTED = warm.Imports(
    (
        *("django.contrib.admin.options", "django.contrib.admin.sites", "django.contrib.admin.apps"),
        *("django.contrib.auth.apps", "django.contrib.auth.hashers", "django.contrib.auth.management"),
        *("django.contrib.messages.apps", "django.contrib.sessions.apps", "django.contrib.staticfiles.apps"),
        *("django.core.checks", "django.core.management", "django.core.management.commands.check"),
        *("django.core.management.commands.migrate", "django.core.management.commands.test"),
        *("django.core.management.sql", "django.db.backends.sqlite3.base", "django.db.migrations.executor"),
        *("django.core.management.commands.makemigrations", "django.core.cache.backends.locmem"),
        *("django.contrib.admin.views.main", "django.contrib.admin.templatetags.admin_list"),
        *("django.contrib.admin.templatetags.admin_modify", "django.contrib.admin.templatetags.log"),
        *("django.contrib.auth.password_validation", "django.contrib.auth.tokens", "django.contrib.auth.validators"),
        *("django.contrib.messages.middleware", "django.contrib.sessions.middleware"),
        *("django.contrib.sessions.management", "django.contrib.staticfiles.management"),
        *("django.contrib.staticfiles.management.commands.runserver", "django.db.models.sql.compiler"),
        *("django.test", "django.test.runner", "django.urls", "django.utils.translation"),
        *("django.templatetags.cache", "django.templatetags.l10n", "django.templatetags.tz"),
        *("django.utils.translation.reloader", "django.views.csrf", "django.views.defaults"),
        *("cronq.django.api", "cronq.django.apps", "cronq.django.attempt", "cronq.django.backend"),
        *("cronq.django.management.commands.cronq", "cronq.django.scheduled", "cronq.django.tables"),
        *("flask.cli", "flask.testing", "flask_sqlalchemy", "cronq.flask", "gunicorn.app.wsgiapp"),
        *("gunicorn.workers.gthread", "fastapi.testclient", "uvicorn.main", "uvicorn.protocols.http.auto"),
        *("sqlalchemy.ext.asyncio", "aiosqlite", "cronq.testing", "cronq.otel", "opentelemetry.sdk.trace.export"),
        *("cronq.web.server", "a2wsgi", "pytest", "pymysql"),
    )
)
"""Modules that read no settings of a project when they are imported."""


class Programs:
    """Runs Python in a project's directory, with the environment of cron and these variables; HOME is the directory."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.directory = directory
        paths = {"HOME": str(directory), "PATH": f"{Path(sys.prefix) / 'bin'}:/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
        self.environment = paths | environment

    def run(self, *arguments: str | int, seconds: float = 120, **more: str) -> Ran:
        """Run `python ARGUMENTS` to its end."""
        return warm.run(IMPORTED, self._command(arguments, more), seconds)

    def done(self, *arguments: str | int, seconds: float = 120, **more: str) -> str:
        """Run `python ARGUMENTS`, which must succeed; return its stdout, then its stderr."""
        ran = self.run(*arguments, seconds=seconds, **more)
        assert ran.status == 0, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def begin(self, *arguments: str | int) -> Process:
        """Start `python ARGUMENTS` without waiting; stderr goes to errors.log at HOME, stdout is dropped."""
        with (Path(self.environment["HOME"]) / "errors.log").open("ab") as log:
            return warm.begin(IMPORTED, self._command(arguments, {}), log)

    def start(self, *arguments: str | int) -> Process:
        """Start `python ARGUMENTS` without waiting; its streams are pipes."""
        return warm.start(IMPORTED, self._command(arguments, {}))

    def anew(self, *arguments: str | int) -> Ran:
        """Run `python ARGUMENTS` to its end, with a Python that is started for it instead of a fork."""
        command = self._command(arguments, {})
        ran = subprocess.run(
            [sys.executable, *command.arguments],
            cwd=self.directory,
            env=command.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def _command(self, arguments: tuple[str | int, ...], more: dict[str, str]) -> warm.Command:
        return warm.Command([*map(str, arguments)], self.directory, self.environment | more)
