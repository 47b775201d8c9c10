"""Every example that a reader could try is tried: the README's transcript and those of docs/."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cronq.config.loader import load
from tests.cli.documents import Block, Command, blocks, commands
from tests.project import ROOT, Project

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture
def reader(project: Project) -> Project:
    """A project in an empty directory, as a reader starts."""
    for name in ("cronq.toml", "jobs.py"):
        (project.directory / name).unlink()
    return project


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_examples_do_what_the_document_says(document: Path, reader: Project) -> None:
    for block in blocks(document):
        where = f"{document.name}:{block.line}"
        if block.language == "console":
            for command in commands(block):
                check_command(reader, command, document.name)
        elif block.language in {"python", "toml"}:
            check_text(reader, block, where)


def test_readme_has_a_transcript() -> None:
    assert any(block.language == "console" for block in blocks(ROOT / "README.md"))


def check_command(reader: Project, command: Command, document: str) -> None:
    printed = run(reader, ["sh", "-c", command.text])
    assert command.fits(printed), (
        f"{document}:{command.line}: $ {command.text}\nshould print\n{command.output}\nbut printed\n{printed}"
    )


def check_text(reader: Project, block: Block, where: str) -> None:
    """A file is written, a program must run, a piece of a config must be one."""
    if block.file:
        reader.write(block.file, block.text)
    elif block.language == "python":
        program = reader.write("example.py", block.text)
        run(reader, [sys.executable, program.name], expect=where)
    else:
        piece = reader.write("piece.toml", block.text)
        assert load(file=str(piece)).file == str(piece), where


def run(reader: Project, command: list[str], *, expect: str | None = None) -> str:
    """What the command printed on both streams; with `expect` it must succeed there."""
    ran = subprocess.run(
        command,
        cwd=reader.directory,
        env=reader.environment_of_shells,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert expect is None or ran.returncode == 0, f"{expect}: {ran.stdout}"
    return ran.stdout
