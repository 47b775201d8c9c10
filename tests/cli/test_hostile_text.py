"""No text from the database reaches a terminal, a pipe or a log with its control characters alive."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import sys
import unicodedata

import pytest

from cronq.model.printable import one_line, safe, safe_json
from tests import every_way_out
from tests.project import ROOT, Project
from tests.terminal import Terminal
from tests.waiting import wait_until

BREAKS = "\n\r\x0b\x0c\x1c\x85\u2028\u2029"
HOSTILE = (
    "x\x1b]0;owned\x07\x1b[31337m\x9b31337m\x1bPq\x7f\x08\x00\x9d\u061c\u200f\u202e\u2066\ufeff\U000e0041"
    + "".join(f"{end}FORGED" for end in BREAKS)
)
WORKER = HOSTILE.replace("\0", "")
"""A worker's name is looked up as a file, whose name can't have NUL."""

VALID = {"state", "unique_key", "asked", "kind", "queues", "outcome", "retry", "version"}
"""Columns that keep what they have, else the row would not be found at all; two rows have hostile ones."""

_OWN = re.compile(r"\x1b\[[?\d;]*[A-Za-z]")
"""What cronq itself sends to a terminal."""


def is_hostile(letter: str) -> bool:
    return unicodedata.category(letter) in {"Cc", "Cf", "Zl", "Zp"} and letter not in "\n\t"


def assert_harmless(text: str, *, own: re.Pattern[str] | None = None) -> None:
    """Neither control characters nor a line that the text of a job has begun."""
    assert "\x1b[31337" not in text
    printed = text if own is None else own.sub("", text)
    assert [letter for letter in printed if is_hostile(letter)] == [], printed
    assert not [line for line in printed.split("\n") if line.startswith("FORGED")], printed


@pytest.fixture(scope="module")
def forged(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A queue with a job of each state, a worker and pauses, whose every text was written by an adversary."""
    project = Project(tmp_path_factory.mktemp("forged"))
    project.done("enqueue", "--stdin", stdin='{"task": "give-up", "max_attempts": 1}\n{"task": "break"}\n' * 4)
    project.cronq("run", "--fail")
    project.done("enqueue", "--stdin", stdin='{"task": "say", "args": {"text": "x"}, "group": "g"}\n' * 4)
    project.done("enqueue", "--", "true")
    with contextlib.closing(sqlite3.connect(project.database)) as database, database:
        forge(database)
    database.close()
    return project


def forge(database: sqlite3.Connection) -> None:
    for number, state in enumerate(
        ("finished", "failed", "cancelled", "retrying", "waiting", "running", "scheduled", "blocked", "ready"), start=1
    ):
        database.execute("UPDATE cronq_jobs SET state = ? WHERE id = ?", (state, number))
    database.execute("UPDATE cronq_jobs SET finished_at = created_at + 1, started_at = created_at WHERE id <= 6")
    database.execute("INSERT INTO cronq_paused VALUES ('', 1)")
    database.execute(
        "INSERT INTO cronq_workers (name, kind, host, pid, queues, version, started_at, seen_at)"
        " SELECT '', 'work', '', 1, '', '1', max(created_at), max(created_at) + 3600000000 FROM cronq_jobs"
    )
    for table in ("jobs", "attempts", "workers", "paused"):
        for _, column, kind, *_ in database.execute(f"PRAGMA table_info(cronq_{table})").fetchall():
            if "INT" not in kind and kind != "FLOAT" and column not in VALID:
                database.execute(f"UPDATE cronq_{table} SET {column} = ?", (_text(table, column),))
    database.execute("UPDATE cronq_jobs SET outcome = ? WHERE id IN (1, 2)", (HOSTILE,))
    database.execute("UPDATE cronq_attempts SET outcome = ?", (HOSTILE,))
    database.execute("UPDATE cronq_workers SET state = ?, kind = ?, queues = ?, version = ?", (HOSTILE,) * 4)
    database.execute("UPDATE cronq_jobs SET task = 'command', args = ? WHERE id = 13", (json.dumps({"c": HOSTILE}),))


def _text(table: str, column: str) -> str:
    if column in {"args", "notes", "result"}:
        return json.dumps({HOSTILE: HOSTILE})
    if column == "warnings":
        return json.dumps([HOSTILE])
    if column in {"stdout", "stderr", "traceback"}:  # shown as the lines that they are
        return HOSTILE.replace("\n", "")
    return WORKER if column in {"worker", "name"} and table in {"jobs", "workers"} else HOSTILE


LOOKS = [
    ("ls",), ("ls", "--json"), ("ls", "--utc"), *(("show", id_) for id_ in (1, 2, 6, 13)), ("show", 6, "--json"),
    *(("why", id_) for id_ in (1, 2, 5, 6, 8, 9, 13)), ("why", 9, "--json"), ("errors",), ("errors", "--json"),
    ("status",), ("status", "--json"), ("workers",), ("workers", "--json"), ("top", "--once"), ("health",),
    ("metrics",), ("doctor",), ("doctor", "--json"), ("retry", "--state", "failed", "--dry-run"),
    ("cancel", "--state", "ready", "--dry-run"), ("wait", 1), ("wait", 2), ("ls", "--queue", WORKER),
    ("ls", "--task", WORKER), ("enqueue", WORKER), ("enqueue", "say", WORKER), ("pause", WORKER), ("ls", WORKER),
    ("reload-workers", WORKER), ("--debug", "--config", WORKER.replace("\n", ""), "ls"), (WORKER,),
    ("show", 2, "--output"), ("tail", 2),
    ("show", 1, 2, "last"), ("why", 1, 2), ("wait", 1, 2), ("wait", 1, 2, "--json"), ("ls", "--local"),
    ("ls", "--sort", WORKER), ("ls", "--search", WORKER, "--json"), ("ls", "--since", WORKER), ("drain", WORKER),
    ("exec", 1), ("edit", 1, "--priority", 5), ("edit", 9, "--queue", WORKER), ("retry", "--copy", 2, "--dry-run"),
    ("copy", "--to", WORKER), ("completion", WORKER), ("help", WORKER), ("ls", "--" + WORKER), (),
]  # fmt: skip
RAW = {("show", 2, "--output"), ("tail", 2)}
"""In a file or a pipe they are the bytes that the job wrote."""


ENVIRONMENT = {"TERM": "xterm", "PYTHONPATH": str(ROOT)}
Printed = dict[tuple[str | int, ...], tuple[str, str, str]]


@pytest.fixture(scope="module")
def printed(forged: Project) -> Printed:
    """What each command writes to stdout, to stderr and, in its place, to a terminal."""
    typed = json.dumps([list(map(str, arguments)) for arguments in LOOKS])
    ran = forged.python("-m", every_way_out.__name__, typed, env=ENVIRONMENT, seconds=200)
    assert (ran.status, ran.stderr) == (0, "")
    return dict(zip(LOOKS, json.loads(ran.stdout), strict=True))


@pytest.mark.parametrize("arguments", LOOKS, ids=lambda arguments: " ".join(map(one_line, map(str, arguments)))[:40])
def test_what_is_printed_is_harmless(printed: Printed, arguments: tuple[str | int, ...]) -> None:
    stdout, stderr, terminal = printed[arguments]
    assert stdout + stderr
    assert terminal
    if arguments not in RAW:
        assert_harmless(stdout)
        assert_harmless(stderr)
    assert_harmless(terminal, own=_OWN)


def test_what_the_keys_of_top_show_is_harmless(forged: Project) -> None:
    with Terminal(forged, "top", columns=1000, rows=60) as terminal:
        terminal.see("q quit")
        for keys, seen in (
            ("j", "queue"),
            ("p", "queue x"),
            ("\x1b", "all queues"),
            ("\t\r\r", "q back"),
            ("G", "q back"),
        ):
            terminal.press(keys)
            terminal.see(seen)
            assert_harmless(terminal.raw, own=_OWN)
        terminal.press("q\x1b\x1bS\tj\r")
        terminal.see("q back")
        assert_harmless(terminal.raw, own=_OWN)


@pytest.mark.parametrize("shape", ["text", "json"])
@pytest.mark.parametrize("command", [("run",), ("work", "--idle-exit", "0.1s")])
def test_what_a_runner_tells_is_harmless(command: tuple[str, ...], shape: str, project: Project) -> None:
    project.write("jobs.py", APP)
    log = project.directory / "log"
    env = {"CRONQ_LOG_FORMAT": shape, "CRONQ_NOTIFY_COMMAND": "printf '%s\\n' \"$CRONQ_NOTICE\" >> mail"}
    project.make_database()
    project.done("enqueue", "--stdin", stdin="".join(f'{{"task": "{name}"}}\n' for name in ("evil", "worse", "evil")))
    with contextlib.closing(sqlite3.connect(project.database)) as database, database:
        database.execute("UPDATE cronq_jobs SET queue = ?, job_key = ?, job_group = ?", (HOSTILE,) * 3)
        database.execute("UPDATE cronq_jobs SET task = ? WHERE id = 3", (HOSTILE,))
    database.close()
    ran = project.cronq("-v", "--log-file", str(log), *command, env=env)
    assert_harmless(ran.stdout)
    assert_harmless(ran.stderr)
    assert "failed for good" in ran.stderr
    written = log.read_bytes().decode()
    assert "failed for good" in written
    assert_harmless(written)
    mail = project.directory / "mail"
    wait_until(lambda: mail.exists() and mail.read_bytes().count(b"failed for good") == 2, what="two notices")
    assert_harmless(mail.read_bytes().decode())


APP = f"""\
from cronq import Cronq, Fail

queue = Cronq.from_config()
HOSTILE = {HOSTILE!r}

@queue.task(name="evil")
def evil() -> None:
    raise Fail(HOSTILE)

@queue.task(name="worse")
def worse() -> None:
    raise type(HOSTILE.replace(chr(0), ""), (Fail,), {{}})(HOSTILE)
"""


def test_every_control_and_unseen_letter_is_spelt_out() -> None:
    left = "".join(filter(is_hostile, safe("".join(filter(is_hostile, map(chr, range(sys.maxunicode + 1)))))))
    names = [unicodedata.name(letter) for letter in left]
    assert [name for name in names if not name.startswith(("ARABIC ", "SYRIAC ", "KAITHI ", "EGYPTIAN "))] == [
        "ZERO WIDTH NON-JOINER",
        "ZERO WIDTH JOINER",
    ]


@pytest.mark.parametrize("text", ["Grüße, 東京, 👩\u200d🚀", "a\tb\nc", "\u00a0"])
def test_what_people_write_stays(text: str) -> None:
    assert safe(text) == text


def test_json_keeps_the_value() -> None:
    value = {HOSTILE: [HOSTILE]}
    document = safe_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(document) == value
    assert_harmless(document)
