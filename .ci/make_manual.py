"""Write packaging/man/cronq.1 from the declarations of the commands."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from command_tree import Command, Parameter, tree

PAGE = Path(__file__).parent.parent / "packaging" / "man" / "cronq.1"
_DATE = "November 21, 2026"

_STATUSES = {
    "0": "done",
    "1": "a job failed (run --fail, wait), or what was asked about isn't there",
    "64": "wrong usage of the command line",
    "65": "bad input: a value that can't be used, an unknown task",
    "69": "the database or a transport is out of reach, retries included",
    "70": "an error in cronq itself; --debug shows where",
    "74": "what was to be written could not be written",
    "75": "not now: the wait was over first",
    "78": "the configuration, or what it points at, is wrong",
}

_FILES = {
    "./cronq.toml": "the configuration, if it is there",
    "~/.config/cronq/cronq.toml": "else the user's",
    "/etc/cronq/cronq.toml": "else the machine's",
    "~/.local/state/cronq/cronq.db": "the queue, unless the configuration names another database",
}


def page() -> str:
    """Return the manual page in mdoc."""
    program, verbs = tree()
    return "\n".join(line for part in (_head(program), _commands(verbs), _tail()) for line in part) + "\n"


def _head(program: Command) -> Iterator[str]:
    yield '.\\" Made by `make generated` from the declarations of the commands.'
    yield f".Dd {_DATE}"
    yield ".Dt CRONQ 1"
    yield ".Os"
    yield ".Sh NAME"
    yield ".Nm cronq"
    yield ".Nd a job queue that needs nothing but a database and a line in crontab"
    yield ".Sh SYNOPSIS"
    yield ".Nm"
    yield ".Op Ar global options"
    yield ".Ar command"
    yield ".Op Ar argument ..."
    yield ".Sh DESCRIPTION"
    yield from _sentences(program.summary)
    for text in program.details:
        yield ".Pp"
        yield from _sentences(text)
    yield from _list(program.options)


def _commands(verbs: tuple[Command, ...]) -> Iterator[str]:
    yield ".Sh COMMANDS"
    for verb in verbs:
        yield f".Ss cronq {verb.name}"
        yield from _sentences(verb.summary)
        for text in verb.details:
            yield ".Pp"
            yield from _sentences(text)
        yield from _list((*verb.arguments, *verb.options))
        if verb.example:
            yield ".Bd -literal -offset indent"
            yield from (_safe(line) for line in verb.example.splitlines())
            yield ".Ed"


def _tail() -> Iterator[str]:
    yield ".Sh ENVIRONMENT"
    yield ".Bl -tag -width Ds"
    for name, text in (
        ("CRONQ_CONFIG", "the configuration file"),
        ("CRONQ_DATABASE , CRONQ_APP , CRONQ_JOBS , ...", "each key of the configuration, over the file"),
        ("CRONQ_DEBUG", "if set, errors are shown with their traceback"),
        ("NO_COLOR", "if set, nothing is coloured"),
    ):
        yield f".It Ev {name}"
        yield text
    yield ".El"
    yield ".Sh FILES"
    yield from _pairs(".It Pa", _FILES)
    yield ".Sh EXIT STATUS"
    yield from _pairs(".It", _STATUSES)
    yield ".Sh SEE ALSO"
    yield ".Xr systemd 1 ,"
    yield ".Xr crontab 5 ,"
    yield ".Xr cron 8 ,"
    yield ".Xr xinetd 8"


def _pairs(item: str, table: dict[str, str]) -> Iterator[str]:
    yield ".Bl -tag -width Ds"
    for name, text in table.items():
        yield f"{item} {name}"
        yield text
    yield ".El"


def _list(parameters: tuple[Parameter, ...]) -> Iterator[str]:
    if not parameters:
        return
    yield ".Bl -tag -width Ds"
    for one in parameters:
        yield f".It {_names(one)}"
        yield from _sentences(one.help)
    yield ".El"


def _names(one: Parameter) -> str:
    value = f" Ar {one.value}" if one.value else ""
    if not one.is_option:
        return f"Ar {one.value}"
    return " , ".join(f"Fl {name[1:].replace('-', chr(92) + '-')}" for name in one.names) + value


def _sentences(text: str) -> Iterator[str]:
    """Yield the lines of a text; each sentence begins a new line, as mdoc requires."""
    for sentence in text.replace(". ", ".\n").splitlines():
        yield from map(_safe, textwrap.wrap(sentence, 76, break_long_words=False, break_on_hyphens=False))


def _safe(line: str) -> str:
    text = line.replace("\\", "\\e").replace("--", "\\-\\-")
    return f"\\&{text}" if text[:1] in (".", "'") else text


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
