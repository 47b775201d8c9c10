"""The pictures: what to type, and when to look."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from screenshots.scene import Scene
from screenshots.terminal import Terminal

Step = Callable[[Terminal, Scene], None]

MANY = 400
"""Jobs behind the progress bar."""


class Shot(NamedTuple):
    """How to come to what is to be seen, and how to leave it."""

    reach: Step
    leave: Step = lambda _terminal, _scene: None


def _command(terminal: Terminal, _: Scene, *, line: str) -> None:
    terminal.run(line)


def _show(terminal: Terminal, scene: Scene) -> None:
    terminal.run(f"cronq show {scene.bank}")


def _top(terminal: Terminal, _: Scene) -> None:
    terminal.clear()
    terminal.type("cronq top")
    terminal.wait_for("q quit")


def _top_job(terminal: Terminal, scene: Scene) -> None:
    _top(terminal, scene)
    for key, seen in (("Tab", "Esc back"), ("Enter", "error "), ("Enter", "q back")):
        terminal.press(key)
        terminal.wait_for(seen)


def _top_help(terminal: Terminal, scene: Scene) -> None:
    _top(terminal, scene)
    terminal.press("?")
    terminal.wait_for("cronq top: keys")


def _go_back(terminal: Terminal, scene: Scene) -> None:
    terminal.press("q")
    terminal.wait_for("q quit")
    _quit(terminal, scene)


def _quit(terminal: Terminal, _: Scene) -> None:
    terminal.press("q")
    terminal.wait_until(lambda: terminal.lines()[-1:] == ["$"], "a prompt")


def _progress(terminal: Terminal, scene: Scene) -> None:
    scene.put_many(MANY)
    terminal.clear()
    terminal.type("cronq run --queue bulk")
    terminal.wait_until(lambda: any(_is_half(line) for line in terminal.lines()), "a bar")


def _is_half(line: str) -> bool:
    """Whether this is a bar that has come some way."""
    found = re.search(r" (\d+)/\d+ ", line)
    return found is not None and MANY // 4 < int(found[1]) < MANY


def _finish(terminal: Terminal, _: Scene) -> None:
    terminal.wait_for("finished")


SHOTS: dict[str, Shot] = {
    "ls": Shot(partial(_command, line="cronq ls")),
    "show": Shot(_show),
    "errors": Shot(partial(_command, line="cronq errors")),
    "status": Shot(partial(_command, line="cronq status")),
    "doctor": Shot(partial(_command, line="cronq doctor")),
}
"""By the name of their files."""

LATER: dict[str, Shot] = {
    "run": Shot(_progress, _finish),
    "top": Shot(_top, _quit),
    "top-job": Shot(_top_job, _go_back),
    "top-help": Shot(_top_help, _go_back),
}
"""Those that come last, because they leave many jobs behind or show what these did."""
