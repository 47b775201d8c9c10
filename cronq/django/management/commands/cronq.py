"""Run the command `cronq` on this project: `manage.py cronq VERB …`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from cronq.cli import main


class Command(BaseCommand):
    """Runs a command of cronq with the project's configuration."""

    help = "Run a command of cronq on this project's jobs: manage.py cronq run, manage.py cronq ls --state failed, …"
    requires_system_checks: Any = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """Run cronq with all words after `manage.py cronq`, options included, and exit with its status."""
        # cronq prints this path for crontabs and starts it: it must be the command, also if manage.py is executable.
        sys.argv = [str(Path(sys.prefix) / "bin" / "cronq"), *argv[2:]]
        sys.exit(main(argv[2:], project=True))

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's interface
        """Run cronq for `call_command("cronq", "ls")`; exits if its status isn't 0."""
        status = main([str(word) for word in args], project=True)
        if status:
            sys.exit(status)

    def add_arguments(self, parser: Any) -> None:
        """Take all words as they are."""
        parser.add_argument("args", nargs="*", metavar="WORD")
