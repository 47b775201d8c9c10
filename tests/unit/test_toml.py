"""The quick reader gives what tomllib gives, or nothing."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronq.config import toml

USUAL = """\
# the shop's queue
database = "sqlite:///cronq.db"   # beside this file
app = 'shop.jobs:queue'
commands = true
jobs = 2
"time_limit" = "1h"
wake = ["tcp://127.0.0.1:11137", 'redis://cache/0',]  # two
allow = []
\t
[retry]
jitter = 0.25
[tasks."mail.send"]
priority = 10
[ tasks.'image.scale' ] # slow
priority=90
[events]
"shot.*" = ["generate", "log"]
[tool.x.y]
"""

NOT_PLAIN = [
    'a = "x\\n"',
    'a = """x"""',
    "a = '''x'''",
    "a = -1",
    "a = +1",
    "a = 1_000",
    "a = 0x10",
    "a = 1e3",
    "a = inf",
    "a = 2026-11-21",
    "a = 08:00:00",
    "a.b = 1",
    "a = { b = 1 }",
    "a = [1]",
    'a = [\n"x"\n]',
    "[[a]]",
    "[a.b]\n[a]",
    "a = 1\r\nb = 2",
]

WRONG = [
    "a",
    "a =",
    "= 1",
    "a = 1 2",
    'a = "x" y',
    'a = "x',
    "a = 01",
    "a = 1.",
    "a = .5",
    "a = tru",
    "a = 1\na = 2",
    "[a]\n[a]",
    "[a]\nb = 1\n[a.b]",
    "a = 1\n[a]",
    "a = 1\n[a.b]",
    "[a",
    "[]",
    "[a]]",
    "[a] b = 1",
    "[a.]",
    'a = ["x" "y"]',
    'a = [,"x"]',
    "ä = 1",
    "a = '\x01'",
    "# \x01",
    "\ufeffa = 1",
]


def test_the_usual_file_is_plain() -> None:
    assert toml.loads(USUAL) == tomllib.loads(USUAL)
    assert toml.loads("") == {}


@pytest.mark.parametrize("text", NOT_PLAIN)
def test_what_is_not_plain_is_left_to_tomllib(text: str) -> None:
    assert toml.loads(text) is None
    tomllib.loads(text)


@pytest.mark.parametrize("text", WRONG)
def test_mistakes_are_left_to_tomllib(text: str) -> None:
    assert toml.loads(text) is None
    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads(text)


_PIECES = st.sampled_from(
    [
        "a",
        "b",
        "a-1",
        '"q"',
        "'q'",
        '"',
        "'",
        "=",
        " = ",
        ".",
        "[",
        "]",
        ",",
        " ",
        "\t",
        "\n",
        "\n",
        "#",
        "\\",
        "1",
        "0",
        "0.5",
        "01",
        "-1",
        "1e3",
        "true",
        "false",
        '"x"',
        "'y'",
        '""',
        "''",
        '["x", "y"]',
        "[]",
        "\r",
        "\n[a]\n",
        "\n[a.b]\n",
        '\n[a."b"]\n',
        '\n[a."c.d"]\n',
        "\nb = 1\n",
        '\nd = "x"\n',
        '\n d = "x"\n',
        '\nd = "',
        "\nc = 'x'\n",
        "é",
        "\x7f",
        "{",
        "}",
        "_",
    ]
)


@given(st.lists(_PIECES, max_size=14).map("".join))
def test_whatever_it_reads_tomllib_reads_the_same_way(text: str) -> None:
    plain = toml.loads(text)
    if plain is not None:
        assert repr(plain) == repr(tomllib.loads(text))
