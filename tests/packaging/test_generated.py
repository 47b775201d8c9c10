"""The manual page and the completions say what the commands are, and the programs that read them agree."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests import frameworks, warm
from tests.project import CONFIG, ROOT, Project
from tests.waiting import readable, wait_until

COMPLETIONS = ROOT / "packaging" / "completions"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree's makers, run: what they write lies beside them."""
    copy = tmp_path_factory.mktemp("generated")
    for maker in ("command_tree.py", "make_manual.py", "make_completions.py"):
        (copy / ".ci").mkdir(exist_ok=True)
        (copy / ".ci" / maker).write_text((ROOT / ".ci" / maker).read_text())
    (copy / "packaging").mkdir()
    for maker in ("make_manual.py", "make_completions.py"):
        ran = warm.run(frameworks.IMPORTED, warm.Command([str(copy / ".ci" / maker)], ROOT, {"HOME": str(copy)}), 60)
        assert ran.status == 0, ran
    return copy / "packaging"


@pytest.mark.parametrize(
    "name", ["man/cronq.1", "completions/cronq.bash", "completions/_cronq", "completions/cronq.fish"]
)
def test_what_is_generated_is_up_to_date(fresh: Path, name: str) -> None:
    assert (ROOT / "packaging" / name).read_text() == (fresh / name).read_text(), "run `make generated`"


@pytest.mark.needs("mandoc")
def test_the_manual_page_has_no_fault() -> None:
    page = ROOT / "packaging" / "man" / "cronq.1"
    said = subprocess.run(["mandoc", "-T", "lint", page], capture_output=True, text=True, check=False)
    faults = [line for line in (said.stdout + said.stderr).splitlines() if "outdated mandoc.db" not in line]
    assert faults == []


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A queue with a job in each of two queues and two schedules, to be copied."""
    made = Project(tmp_path_factory.mktemp("filled"))
    for queue in ("mail", "money"):
        made.cronq("enqueue", "--queue", queue, "--", "true")
    tables = "".join(f'[schedules."{name}"]\nevery = "1d"\ncommand = "true"\n' for name in ("report.daily", "tidy"))
    made.write("cronq.toml", CONFIG + tables)
    made.done("schedules", "sync")
    return made


@pytest.fixture
def filled(kept: Project, project: Project) -> Project:
    for path in (kept.database, kept.directory / "cronq.toml"):
        shutil.copy(path, project.directory)
    return project


def _bash(project: Project, line: str) -> list[str]:
    script = (
        f"source {COMPLETIONS}/cronq.bash; COMP_WORDS=({line}); [[ '{line}' == *' ' ]] && COMP_WORDS+=('');"
        ' COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _cronq; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return _lines(project, ["bash", "--norc", "-c", script])


def _fish(project: Project, line: str) -> list[str]:
    # With USER, which fish sets, the command isn't one that tests.warm may fork.
    script = f"set --erase USER; source {COMPLETIONS}/cronq.fish; complete -C{line!r}"
    return [found.partition("\t")[0] for found in _lines(project, ["fish", "--no-config", "-c", script])]


def _lines(project: Project, command: list[str]) -> list[str]:
    given = project.environment_of_shells
    said = subprocess.run(command, cwd=project.directory, env=given, capture_output=True, text=True, check=False)
    assert said.stderr == ""
    return [line for line in said.stdout.splitlines() if line]


@pytest.mark.needs("fish")
@pytest.mark.parametrize("complete", [_bash, _fish])
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cronq ret", {"retry"}),
        ("cronq retry --state fin", {"finished"}),
        ("cronq retry --queue m", {"mail", "money"}),
        ("cronq show ", {"1", "2"}),
        ("cronq clear-finished --sta", {"--state"}),
        ("cronq sch", {"schedules"}),
        ("cronq schedules ne", {"next"}),
        ("cronq schedules next --cou", {"--count"}),
        ("cronq schedules show re", {"report.daily"}),
        ("cronq schedules next ", {"report.daily", "tidy"}),
    ],
)
def test_a_shell_completes(complete: object, line: str, expected: set[str], filled: Project) -> None:
    assert set(complete(filled, line)) == expected  # type: ignore[operator]


HOSTILE = (
    "$(touch$IFS./run)",
    "`touch run`",
    "a;touch run",
    "a&touch run",
    "it's",
    '"q"',
    "a b",
    "~root",
    "$HOME",
    "a\\b",
)


@pytest.mark.needs("fish")
@pytest.mark.parametrize("complete", [_bash, _fish])
@pytest.mark.parametrize(("line", "column"), [("cronq pause ", "queue"), ("cronq ls --task ", "task")])
def test_names_are_never_run(complete: object, line: str, column: str, filled: Project) -> None:
    _rename(filled, column, HOSTILE)
    found = complete(filled, line)  # type: ignore[operator]
    assert {_read_by_bash(one) for one in found} == set(HOSTILE) if complete is _bash else set(found) == set(HOSTILE)
    assert not (filled.directory / "run").exists()


def _rename(project: Project, column: str, names: tuple[str, ...]) -> None:
    with contextlib.closing(sqlite3.connect(project.database)) as database, database:
        database.execute("DELETE FROM cronq_jobs WHERE id > 1")
        for _ in names[1:]:
            database.execute(
                "INSERT INTO cronq_jobs (queue, priority, state, available_at, task, max_attempts, created_at, args)"
                " SELECT queue, priority, state, available_at, task, max_attempts, created_at, args"
                " FROM cronq_jobs LIMIT 1"
            )
        ids = [id_ for (id_,) in database.execute("SELECT id FROM cronq_jobs")]
        database.executemany(f"UPDATE cronq_jobs SET {column} = ? WHERE id = ?", zip(names, ids, strict=True))
    database.close()


def _read_by_bash(word: str) -> str:
    """The word as bash reads it, were it entered."""
    return subprocess.run(
        ["bash", "--norc", "-c", f"printf %s {word}"], capture_output=True, text=True, check=True
    ).stdout


_SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], f"source {COMPLETIONS}/cronq.bash"),
    # With LOGNAME, which zsh sets, the command isn't one that tests.warm may fork.
    "zsh": (
        ["zsh", "-f", "-i"],
        f"typeset +x LOGNAME; fpath=({COMPLETIONS} $fpath); autoload -U compinit; compinit -D -u",
    ),
}


@pytest.mark.needs("zsh")
@pytest.mark.parametrize("shell", _SHELLS)
def test_a_tab_in_a_real_shell_runs_nothing(shell: str, filled: Project) -> None:
    command, setup = _SHELLS[shell]
    environment = {
        "HOME": str(filled.home),
        "PATH": f"{filled.environment_of_shells['PATH']}:{os.environ['PATH']}",
        "TERM": "dumb",
    }
    leader, follower = pty.openpty()
    with subprocess.Popen(
        command, cwd=filled.directory, env=environment, stdin=follower, stdout=follower, stderr=follower,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            screen = bytearray()
            os.write(leader, f"{setup}; echo rea''dy\n".encode())
            _wait_on(leader, screen, "ready\r\n")
            for name, word in {"$(touch${IFS}run)": "run", "`touch${IFS}ran`": "ran"}.items():
                _rename(filled, "queue", (name,))
                screen.clear()
                os.write(leader, b"\x15cronq pause \t")
                _wait_on(leader, screen, word)
                assert "\\" in screen.decode()
            os.write(leader, b"\x15exit\n")
            wait_until(lambda: _read(leader, screen) and process.poll() is not None, what="the shell's end")
        finally:
            process.kill()
            os.close(leader)
            os.close(follower)
    assert not {"run", "ran"} & {path.name for path in filled.directory.iterdir()}


def _wait_on(fd: int, screen: bytearray, text: str) -> None:
    wait_until(lambda: _read(fd, screen) and text in screen.decode(errors="replace"), what=f"{text!r} on the terminal")


def _read(fd: int, screen: bytearray) -> bool:
    while readable(fd):
        screen += os.read(fd, 65536)
    return True


@pytest.mark.needs("zsh")
def test_zsh_reads_its_completion() -> None:
    subprocess.run(["zsh", "-n", COMPLETIONS / "_cronq"], check=True)
