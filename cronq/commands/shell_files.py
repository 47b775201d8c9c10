"""`cronq completion` and `cronq man`: print the files that pip doesn't install where shells and man find them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cronq import deploy
from cronq.errors import ConfigError, InvalidInput

_COMPLETION_EXAMPLE = """\
Example:

\b
  cronq completion bash > ~/.local/share/bash-completion/completions/cronq
  cronq completion zsh > ~/.zfunc/_cronq
  cronq completion fish > ~/.config/fish/completions/cronq.fish

Exit status: 0 done, 65 unknown shell, 78 the file is missing in this installation.
"""

_MAN_EXAMPLE = """\
Example:

\b
  cronq man | man -l -
  cronq man > ~/.local/share/man/man1/cronq.1

Exit status: 0 done, 78 the file is missing in this installation.
"""

_COMPLETIONS = {
    "bash": "completions/cronq.bash",
    "zsh": "completions/_cronq",
    "fish": "completions/cronq.fish",
}
_MANUAL = "man/cronq.1"

Shell = Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.", show_default=False)]


def _completion(shell: Shell) -> None:
    """Print the completion for bash, zsh or fish."""
    if shell not in _COMPLETIONS:
        known = ", ".join(_COMPLETIONS)
        raise InvalidInput(f"SHELL: there is no completion for {shell!r}; there are {known}")
    _print(_COMPLETIONS[shell])


def _man() -> None:
    """Print the manual page."""
    _print(_MANUAL)


def _print(name: str) -> None:
    from cronq.render.text import write

    write(_text(name).splitlines())


def _text(name: str) -> str:
    """Read a file from the package, or from a working copy. Raises ConfigError if it is in neither."""
    packed = Path(deploy.__file__).parent / "packaging"
    for place in (packed, Path(deploy.__file__).parents[2] / "packaging"):
        path = place / name
        if path.exists():
            return path.read_text()
    raise ConfigError(f"{packed / name} is missing: this cronq was packed without it")


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    app.command("completion", epilog=_COMPLETION_EXAMPLE)(_completion)
    app.command("man", epilog=_MAN_EXAMPLE)(_man)
