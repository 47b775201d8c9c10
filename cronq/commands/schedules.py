"""`cronq schedules`: the commands on schedules, each part in a module of its own beside this one."""

from __future__ import annotations

from importlib import import_module

import typer

from cronq.commands import options as given  # noqa: TC001 - typer reads the annotations itself

_PARTS = (
    *("schedules_show", "schedules_next", "schedules_simulate", "schedules_check", "schedules_change"),
    "schedules_import",
)
"""The modules of the commands, in the order of the help."""

_EXAMPLE = """\
Example:

\b
  cronq schedules
  cronq schedules --json | jq '.[] | select(.state == "late")'
  cronq schedules show report.daily

Exit status: 0 done, 64 wrong usage, 69 database out of reach,
78 configuration.
"""


def _schedules(context: typer.Context, *, utc: given.Utc = False, as_json: given.AsJson = False) -> None:
    """Show and change schedules, by which jobs are enqueued.

    Without a command: name, rule, zone, last decision, next due time and state of each.
    """
    if context.invoked_subcommand is None:
        from cronq.commands.schedules_show import print_list

        print_list(context, utc=utc, as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the command and those under it to the program."""
    group = typer.Typer(rich_markup_mode=None)
    group.callback(epilog=_EXAMPLE, invoke_without_command=True)(_schedules)
    for part in _PARTS:
        import_module(f"cronq.commands.{part}").register(group)
    app.add_typer(group, name="schedules")
