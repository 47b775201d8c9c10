"""`cronq schedules`: the commands on schedules, each part in a module of its own beside this one."""

from __future__ import annotations

from importlib import import_module

import typer

_PARTS = ("schedules_next", "schedules_check", "schedules_import")
"""The modules of the commands, in the order of the help."""

_EXAMPLE = """\
Example:

\b
  cronq schedules next "30 2 * * *" --timezone Europe/Prague
  cronq schedules check cronq.toml

Exit status: 0 done, 64 the command line doesn't make sense.
"""


def _schedules() -> None:
    """Show and check schedules, by which jobs are enqueued."""


def register(app: typer.Typer) -> None:
    """Add the command and those under it to the program."""
    group = typer.Typer(rich_markup_mode=None)
    group.callback(epilog=_EXAMPLE)(_schedules)
    for part in _PARTS:
        import_module(f"cronq.commands.{part}").register(group)
    app.add_typer(group, name="schedules")
