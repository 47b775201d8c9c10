"""Every example that a reader could try is tried: the README's transcript and those of docs/."""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from cronq.config.loader import load
from tests import frameworks, warm
from tests.cli.documents import Block, Command, blocks, commands
from tests.project import ROOT, Project

PLAIN = re.compile(r"""cronq((?: +(?:[\w./:=,+@%-]+|'[^'\n]*'|"[^"$`\\\n]*"))*)(; echo "status \$\?")?""")
"""A call of cronq in which a shell has nothing to do but to split words, and to say the status."""
_WITH_FRAMEWORKS = all(find_spec(name.partition(".")[0]) for name in frameworks.IMPORTED.modules)
IMPORTED = frameworks.IMPORTED if _WITH_FRAMEWORKS else warm.Imports(("asyncio", "cronq.testing", "sqlalchemy.orm"))
"""The Python that other tests fork, too, where all is installed that it imports: not so in .ci/bounds."""
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
    plain = PLAIN.fullmatch(command.text)
    printed = called(reader, *plain.groups()) if plain else shell(reader, command.text)
    assert command.fits(printed), (
        f"{document}:{command.line}: $ {command.text}\nshould print\n{command.output}\nbut printed\n{printed}"
    )


def check_text(reader: Project, block: Block, where: str) -> None:
    """A file is written, a program must run, a piece of a config must be one."""
    if block.file:
        reader.write(block.file, block.text)
    elif block.language == "python":
        program = reader.write("example.py", block.text)
        ran = warm.run(IMPORTED, warm.Command([program.name], reader.directory, reader.environment), 60)
        assert ran.status == 0, f"{where}: {ran.stdout}{ran.stderr}"
    else:
        piece = reader.write("piece.toml", block.text)
        assert load(file=str(piece)).file == str(piece), where


def called(reader: Project, words: str, status_wanted: str | None) -> str:
    """What cronq printed on both streams, without a shell; it reads nothing."""
    with tempfile.TemporaryFile("a+") as both:
        with reader.start_on(both.fileno(), *shlex.split(words), env={}) as process:
            status = process.wait(60)
        both.seek(0)
        return both.read() + (f"status {status}\n" if status_wanted else "")


def shell(reader: Project, text: str) -> str:
    """What a shell printed on both streams."""
    ran = subprocess.run(
        ["sh", "-c", text],
        cwd=reader.directory,
        env=reader.environment_of_shells,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return ran.stdout
