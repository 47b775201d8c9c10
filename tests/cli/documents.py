"""Extract the examples from the documents, so that tests can run them.

The language of a fenced block decides how it is used:

    console     commands after `$ ` (continued after `> `), run in a shell in the document's directory,
                each followed by its output; `...` stands for anything
    python, toml    a file, if the first line is a comment with its name; else a program, or a
                piece of a cronq.toml
    anything else   not run: output, crontab lines, commands that change the machine

All blocks of a document share one directory, from top to bottom.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (?P<name>[\w./-]+\.\w+)\n")


class Block(NamedTuple):
    """One fenced block: the line at which it begins, its language, its text."""

    line: int
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file that the block contains, or None."""
        found = _FILE.match(self.text)
        return found["name"] if found else None


class Command(NamedTuple):
    """One command of a transcript and its expected output."""

    line: int
    text: str
    output: str

    def fits(self, printed: str) -> bool:
        """Tell whether this output is the expected one, except for blanks at line ends."""
        expected = r"[\s\S]*?".join(map(re.escape, _trimmed(self.output).split("...")))
        return re.fullmatch(expected, _trimmed(printed)) is not None


def blocks(document: Path) -> Iterator[Block]:
    """Yield the fenced blocks in order."""
    text = document.read_text()
    for found in _FENCE.finditer(text):
        yield Block(text.count("\n", 0, found.start()) + 2, found["language"], found["text"])


def commands(block: Block) -> Iterator[Command]:
    """Yield the commands of a transcript."""
    typed: list[tuple[int, list[str], list[str]]] = []
    for number, line in enumerate(block.text.splitlines(), block.line):
        if line.startswith("$ "):
            typed.append((number, [line[2:]], []))
        elif line.startswith("> ") and typed and not typed[-1][2]:
            typed[-1][1].append(line[2:])
        else:
            assert typed, f"line {number}: output before the first command"
            typed[-1][2].append(line)
    for number, words, output in typed:
        yield Command(number, "\n".join(words), "\n".join(output))


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def every_command(group: Any, within: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all commands by name, those of groups too: `schedules next`."""
    for name, command in group.commands.items():
        yield f"{within}{name}", command
        if hasattr(command, "commands"):
            yield from every_command(command, f"{name} ")
