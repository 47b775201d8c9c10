"""The quick reader gives what tomllib gives, or nothing."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cronq.config import toml
from cronq.errors import ConfigError

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


_LINES = st.sampled_from(
    [
        '[schedules."a"]',
        "[schedules.b]",
        "[schedules.b.args]",
        "[schedules.b.args.c]",
        " [schedules.d]",
        "[ schedules . e ]",
        '["schedules".f]',
        "[schedules]",
        "[[schedules.g]]",
        "[tasks.h]",
        "\t[tasks.i]",
        "[[tasks]]",
        'cron = "1 2 * * *"',
        "schedules.k = 1",
        "args = { x = [1] }",
        "priority = 3",
        "x = [",
        '["y"],',
        " 1,",
        "]",
        'z = """',
        '"""',
        "q = '''",
        "'''",
        "# [tasks.l]",
        "",
    ]
)


def _read(text: str) -> dict[str, object]:
    """What a command reads that needs the schedules too."""
    found = toml.read("cronq.toml", text.encode())
    schedules = found.get("schedules")
    return found | {"schedules": schedules.tables()} if isinstance(schedules, toml.Unread) else found


@given(st.lists(_LINES, max_size=12).map("\n".join))
@example('[schedules."a"]\n[tasks.h]\npriority = 3')
@example("[schedules.b]\n\t[tasks.i]")
@example('[schedules.b]\n["schedules".f]\n[schedules]\nk = 1')
@example("[[schedules.g]]\n[schedules.b]")
@example('z = """\n[schedules.b]\n"""\npriority = 3')
@example('[schedules.b]\nz = """\n[tasks.h]\n"""')
@example("x = [\n[schedules.b]\n]")
@example("schedules.k = 1\n[schedules.b]")
@example(" [schedules.d]\n[schedules.b]")
def test_a_file_with_its_schedules_unread_says_what_it_says_to_tomllib(text: str) -> None:
    try:
        expected = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        with pytest.raises(ConfigError, match="expected TOML"):
            _read(text)
    else:
        assert _read(text) == expected
        unread = {name: value for name, value in toml.read("cronq.toml", text.encode()).items() if name != "schedules"}
        assert unread == {name: value for name, value in expected.items() if name != "schedules"}


SCHEDULES = """
[schedules."a"]
cron = "1 2 * * *"
args = { x = [1] }
[schedules.b]
"""


@pytest.mark.parametrize("before", ["", 'jobs = 2\n[tasks."h"]\npriority = 3'])
def test_schedules_at_the_end_are_left_unread_whatever_they_look_like(before: str) -> None:
    found = toml.read("cronq.toml", (before + SCHEDULES).encode())
    assert isinstance(found["schedules"], toml.Unread)
    assert list(found["schedules"].tables()) == ["a", "b"]


def test_schedules_before_the_others_are_read_at_once_so_that_changes_in_them_are_noticed() -> None:
    assert toml.read("cronq.toml", f" [schedules.d]\n{SCHEDULES}".encode())["schedules"] == {
        "a": {"cron": "1 2 * * *", "args": {"x": [1]}},
        "b": {},
        "d": {},
    }


@given(st.lists(_PIECES, max_size=14).map("".join))
def test_whatever_it_reads_tomllib_reads_the_same_way(text: str) -> None:
    plain = toml.loads(text)
    if plain is not None:
        assert repr(plain) == repr(tomllib.loads(text))
