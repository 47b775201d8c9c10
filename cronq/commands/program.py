"""Declare the program to typer, for help, errors and all commands except the quick ones."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cronq.commands import MODULES, PURPOSES

_EPILOG = """\
Example:

\b
  cronq enqueue mail.send to=ann@example.org
  cronq enqueue --at +1h -- 'pg_dump shop | gzip > /backup/shop.gz'
  cronq run
  cronq ls --state failed

Exit status:

\b
  0   done
  1   a job failed (run --fail, wait), or what was asked about isn't there
  64  wrong usage of the command line
  65  bad input: a value that can't be used, an unknown task
  69  the database is out of reach, retries included
  70  an error in cronq itself (--debug shows where)
  74  output or a file could not be written, or a file not read
  75  the timeout was reached, or it can't be done now (exec, copy)
  78  the configuration, or what it names, is wrong
"""


_WHOLE = 1000
"""Maximum number of characters of a summary: so many that none is cut."""


class _Program(TyperGroup):
    """A typer group whose help lists the commands by purpose, with uncut summaries and no types of arguments."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - typer calls it so
        """Write the commands into the help."""
        for purpose, verbs in PURPOSES.items():
            known = [(verb, self.commands[verb].get_short_help_str(_WHOLE)) for verb in verbs if verb in self.commands]
            if known:
                with formatter.section(purpose):
                    formatter.write_dl(known)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command, and those under it, without the types that typer would write after arguments."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _hide_types(command)
        return command


def _hide_types(command: Any) -> None:
    for parameter in command.params:
        if parameter.param_type_name == "argument" and hasattr(parameter, "display_type_rich"):
            parameter.display_type_rich = lambda ctx: None  # noqa: ARG005 - its name is typer's
    for below in getattr(command, "commands", {}).values():
        _hide_types(below)


def program(word: str | None = None) -> typer.Typer:
    """Make the program; with the word of a command, only that command's module is imported."""
    app = typer.Typer(
        name="cronq",
        cls=_Program,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=_EPILOG,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_global_options)
    wanted = [MODULES[word]] if word in MODULES else dict.fromkeys(MODULES.values())
    for module in wanted:
        import_module(f"cronq.commands.{module}").register(app)
    return app


def _global_options(  # noqa: PLR0913 - there are as many
    *,
    config: Annotated[str | None, typer.Option("--config", metavar="FILE", help="Configuration file.")] = None,
    db: Annotated[
        str | None, typer.Option("--db", metavar="URL", help="Database URL; overrides the configuration.")
    ] = None,
    log_file: Annotated[
        str | None, typer.Option("--log-file", metavar="FILE", help="Log file; overrides the configuration.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print more.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the version.")] = False,
) -> None:
    """Put jobs on a queue in a database, and run them from cron.

    The options below may stand before or after the command.
    """
    # cronq.cli has read them already; they are declared for the help and for the messages about mistakes.
    del config, db, log_file, verbose, quiet, debug, version
