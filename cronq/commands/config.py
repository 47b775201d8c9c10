"""`cronq config`: print the configuration in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cronq.commands import options as given
from cronq.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.config.shown import Value

_EXAMPLE = """\
Example:

\b
  cronq config
  cronq config --json | jq '.[] | select(.origin != "default")'
  cronq config get database

Exit status: 0 done, 65 there is no such key, 78 configuration.
"""

_GET_EXAMPLE = """\
Example:

\b
  cronq config get jobs
  cronq config get retry.base

Exit status: 0 done, 65 there is no such key, 78 configuration.
"""

Key = Annotated[str, typer.Argument(metavar="KEY", help="Such as jobs or retry.base.", show_default=False)]


def _config(context: typer.Context, *, as_json: given.AsJson = False) -> None:
    """Print the configuration in force, with origins.

    Passwords and other secrets are left out. Durations are seconds, sizes are bytes. Of tables such as
    [tasks] the names are printed.
    """
    from cronq.render.text import document, on_terminal, write

    if context.invoked_subcommand is not None:
        return
    values = _values(context)
    if as_json:
        write([document([value._asdict() for value in values])])
    elif on_terminal():
        _print_table(values)
    else:
        from cronq.render.text import plain
        from cronq.render.tsv import tabbed

        write(tabbed(one.key, plain(one.value), one.origin) for one in values)


def _get(context: typer.Context, key: Key, *, as_json: given.AsJson = False) -> None:
    """Print the value of one key."""
    from cronq.render.text import document, plain, write

    values = {one.key: one for one in _values(context)}
    if key not in values:
        from difflib import get_close_matches

        near = get_close_matches(key, values, n=1)
        meant = f"did you mean {near[0]!r}?" if near else "`cronq config` lists them"
        raise InvalidInput(f"there is no key {key!r}: {meant}")
    write([document(values[key]._asdict()) if as_json else plain(values[key].value)])


def _values(context: typer.Context) -> Sequence[Value]:
    from cronq.config.shown import values

    return values(given.invocation(context).config)


def _print_table(values: Sequence[Value]) -> None:
    from cronq.render.console import Screen
    from cronq.render.text import plain

    screen = Screen()
    table = screen.table("key", "value", "origin")
    for one in values:
        style = "dim" if one.origin == "default" else ""
        table.add_row(*(screen.cell(text, style=style) for text in (one.key, plain(one.value), one.origin)))
    screen.print(table)


def register(app: typer.Typer) -> None:
    """Add the command and the one under it to the program."""
    group = typer.Typer(rich_markup_mode=None)
    group.callback(epilog=_EXAMPLE, invoke_without_command=True)(_config)
    group.command("get", epilog=_GET_EXAMPLE)(_get)
    app.add_typer(group, name="config")
