"""Read plain TOML quickly; anything else is left to tomllib.

Importing tomllib takes as long as starting Python, and cron starts cronq every minute.
Most files need only this: headers, comments, and on one line a string, a list of strings, a
number or a bool. For a file with anything else, mistakes included, `loads` returns None, and tomllib
reads (or refuses) the whole file.
"""

from __future__ import annotations

import os

from cronq.errors import ConfigError

_SCHEDULES = "\n[schedules."
_LONGEST_NUMBER = 15
_BARE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"


class _NotPlain(Exception):
    """Raised for a line that only tomllib can read."""


class Unread:
    """The schedules at the end of a file, not parsed: most runs only check whether their text has changed."""

    __slots__ = ("_file", "_path", "_tables", "text")

    def __init__(self, text: str, *, path: str, file: str) -> None:
        self.text = text
        self._path = path
        self._file = file
        self._tables: dict[str, dict[str, object]] = {}

    def tables(self) -> dict[str, dict[str, object]]:
        """Read the file in full, once, and return the schedules. Raises ConfigError."""
        if not self._tables:
            self._tables = _in_full(self._path, self._file)["schedules"]  # type: ignore[assignment]  # by their headers
        return self._tables


def read(path: str, data: bytes) -> dict[str, object]:
    """Return a file's content, its schedules perhaps as `Unread`. Raises ConfigError naming the file and the line."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{os.path.abspath(path)}: expected UTF-8, line {line} is not") from None
    return _without_schedules(path, text) or _in_full(path, text)


def _without_schedules(path: str, text: str) -> dict[str, object] | None:
    """Read what comes before the schedules, and keep these as `Unread`.

    Returns None if what comes before them isn't plain, or if other tables follow.
    """
    before, header, after = f"\n{text}".partition(_SCHEDULES)
    headers = f"{header}{after}".replace(" ", "").replace("\t", "")
    if not header or headers.count("\n[") != headers.count(_SCHEDULES):
        return None
    table = loads(before)
    if table is not None and "schedules" not in table:
        return table | {"schedules": Unread(after, path=path, file=text)}
    return None


def _in_full(path: str, text: str) -> dict[str, object]:
    plain = loads(text)
    if plain is not None:
        return plain
    import tomllib  # here, not above: importing it takes as long as starting Python

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        problem = str(error).replace("end of document", f"the end, line {text.count(chr(10)) + 1}")
        raise ConfigError(f"{os.path.abspath(path)}: expected TOML: {problem}") from None


def loads(text: str) -> dict[str, object] | None:
    """Return what `tomllib.loads` returns for the text, or None if the text is not plain."""
    table = root = dict[str, object]()
    if not text.replace("\n", "").replace("\t", " ").isprintable():
        return None
    try:
        for line in text.split("\n"):
            if not line:
                continue
            # The usual lines without the general parser: 500 schedules are 2,000 of them, which an idle run may read.
            key, equals, value = line.partition(" = ")
            if equals and key not in table and key.isidentifier() and key.isascii() and _is_text(value):
                table[key] = value[1:-1]
                continue
            content = line.strip(" \t")
            if content.startswith("["):
                usual = _usual_table(root, content)
                table = _opened(root, content[1:]) if usual is None else usual
            elif content and not content.startswith("#"):
                _assign(table, content)
    except _NotPlain:
        return None
    return root


def _is_text(value: str) -> bool:
    """Tell whether a value is only a string in quotation marks, without a backslash."""
    return value[:1] == '"' and 0 < value.find('"', 1) == len(value) - 1 and "\\" not in value


def _usual_table(root: dict[str, object], header: str) -> dict[str, object] | None:
    """Open the table of a header such as `[schedules."report.daily"]`; None for another header."""
    first, quote, name = header[1:-2].partition('."')
    if not (quote and header.endswith('"]') and first.isidentifier() and first.isascii()):
        return None
    if '"' in name or "\\" in name:
        return None
    inner = root.setdefault(first, {})
    if not isinstance(inner, dict) or name in inner:
        raise _NotPlain
    opened = inner[name] = {}
    return opened


def _opened(table: dict[str, object], header: str) -> dict[str, object]:
    key, rest = _key(header)
    while rest.startswith("."):
        inner = table.setdefault(key, {})
        if not isinstance(inner, dict):
            raise _NotPlain
        table = inner
        key, rest = _key(rest[1:])
    if not rest.startswith("]") or key in table:
        raise _NotPlain
    _end(rest[1:])
    opened: dict[str, object] = {}
    table[key] = opened
    return opened


def _assign(table: dict[str, object], line: str) -> None:
    key, rest = _key(line)
    if not rest.startswith("=") or key in table:
        raise _NotPlain
    table[key] = _value(rest[1:].lstrip(" \t"))


def _key(text: str) -> tuple[str, str]:
    text = text.lstrip(" \t")
    if text.startswith(('"', "'")):
        key, rest = _string(text)
    else:
        rest = text.lstrip(_BARE)
        key = text[: len(text) - len(rest)]
        if not key:
            raise _NotPlain
    return key, rest.lstrip(" \t")


def _value(text: str) -> object:
    if text.startswith(('"', "'")):
        value, rest = _string(text)
        _end(rest)
        return value
    if text.startswith("["):
        return _strings(text[1:].lstrip(" \t"))
    return _word(text.partition("#")[0].rstrip(" \t"))


def _string(text: str) -> tuple[str, str]:
    quote = text[0]
    value, closed, rest = text[1:].partition(quote)
    if not closed or (quote == '"' and "\\" in value) or (not value and rest.startswith(quote)):
        raise _NotPlain
    return value, rest


def _strings(text: str) -> list[str]:
    values = []
    while not text.startswith("]"):
        if not text.startswith(('"', "'")):
            raise _NotPlain
        value, rest = _string(text)
        values.append(value)
        rest = rest.lstrip(" \t")
        if not rest.startswith((",", "]")):
            raise _NotPlain
        text = rest[1:].lstrip(" \t") if rest.startswith(",") else rest
    _end(text[1:])
    return values


def _word(word: str) -> object:
    if word in ("true", "false"):
        return word == "true"
    whole, point, fraction = word.partition(".")
    if not _plain_digits(whole) or (whole.startswith("0") and whole != "0"):
        raise _NotPlain
    if not point:
        return int(whole)
    if not _plain_digits(fraction):
        raise _NotPlain
    return float(word)


def _plain_digits(text: str) -> bool:
    return text.isdecimal() and text.isascii() and len(text) <= _LONGEST_NUMBER


def _end(rest: str) -> None:
    rest = rest.lstrip(" \t")
    if rest and not rest.startswith("#"):
        raise _NotPlain
