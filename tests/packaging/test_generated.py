"""The manual page and the completions say what the commands are, and the programs that read them agree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import ROOT, Project

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
        subprocess.run([sys.executable, copy / ".ci" / maker], check=True, cwd=ROOT)
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


@pytest.fixture
def filled(project: Project) -> Project:
    for queue in ("mail", "money"):
        project.cronq("enqueue", "--queue", queue, "--", "true")
    return project


def _bash(project: Project, line: str) -> list[str]:
    script = (
        f"source {COMPLETIONS}/cronq.bash; COMP_WORDS=({line}); [[ '{line}' == *' ' ]] && COMP_WORDS+=('');"
        ' COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _cronq; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return _lines(project, ["bash", "--norc", "-c", script])


def _fish(project: Project, line: str) -> list[str]:
    script = f"source {COMPLETIONS}/cronq.fish; complete -C{line!r}"
    return [found.partition("\t")[0] for found in _lines(project, ["fish", "--no-config", "-c", script])]


def _lines(project: Project, command: list[str]) -> list[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HOME": str(project.directory)}
    said = subprocess.run(command, cwd=project.directory, env=environment, capture_output=True, text=True, check=False)
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
    ],
)
def test_a_shell_completes(complete: object, line: str, expected: set[str], filled: Project) -> None:
    assert set(complete(filled, line)) == expected  # type: ignore[operator]


@pytest.mark.needs("zsh")
def test_zsh_reads_its_completion() -> None:
    subprocess.run(["zsh", "-n", COMPLETIONS / "_cronq"], check=True)
