"""`cronq web`: the queue in a browser."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from cronq.commands import options as given
from cronq.errors import ConfigError

if TYPE_CHECKING:
    from cronq.web.server import Server

_EXAMPLE = """\
Example:

\b
  cronq web
  cronq web --bind 127.0.0.1:8080 --read-only
  cronq web --bind unix:/run/cronq/web.sock --prefix /cronq
  cronq web --hash-password

Exit status: 0 stopped, 78 configuration, an address that can't be used, or the extra isn't installed.
"""

Bind = Annotated[
    str | None, typer.Option("--bind", metavar="ADDRESS", help="HOST:PORT or unix:PATH. Default: 127.0.0.1:11180.")
]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="Show everything, change nothing.")]
Prefix = Annotated[str | None, typer.Option("--prefix", metavar="PATH", help="Serve below this path, such as /cronq.")]
HashPassword = Annotated[
    bool, typer.Option("--hash-password", help="Ask for a password and print its hash for [web.users].")
]


def _web(
    context: typer.Context,
    *,
    bind: Bind = None,
    read_only: ReadOnly = False,
    prefix: Prefix = None,
    hash_password: HashPassword = False,
) -> None:
    """Serve the queue as web pages.

    Prints the address; with the token in it, a browser is signed in.
    """
    try:
        from cronq.web.server import Server
        from cronq.web.settings import web_settings
    except ImportError as error:
        message = f"cronq web needs {(error.name or 'Flask').partition('.')[0]}: pip install 'cronq-jobs[web]'"
        raise ConfigError(message) from None
    if hash_password:
        _print_hash()
        return
    call = given.invocation(context)
    settings = web_settings(call.config, bind=bind, read_only=read_only or None, prefix=prefix)
    call.start_logging(warnings=True)
    _serve(Server.open(call.config, settings))


def _serve(server: Server) -> None:
    """Answer requests until SIGINT or SIGTERM; a Unix socket is removed then."""
    import signal

    from cronq.render.text import write

    def end(_number: int, _frame: object) -> NoReturn:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    write([server.url])
    try:
        server.run()
    finally:
        server.close()


def _print_hash() -> None:
    from getpass import getpass

    from werkzeug.security import generate_password_hash

    from cronq.render.text import write

    password = getpass("password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if not password:
        raise ConfigError("an empty password lets everyone in")
    write([generate_password_hash(password)])


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("web", epilog=_EXAMPLE)(_web)
