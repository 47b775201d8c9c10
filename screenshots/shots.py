"""The pictures: what to type, and when to look."""

from __future__ import annotations

from collections.abc import Callable

from screenshots.scene import Scene
from screenshots.terminal import Terminal

Shot = Callable[[Terminal, Scene], None]


def _ls(terminal: Terminal, _: Scene) -> None:
    terminal.run("cronq ls")


def _show(terminal: Terminal, scene: Scene) -> None:
    terminal.run(f"cronq show {scene.bank}")


def _errors(terminal: Terminal, _: Scene) -> None:
    terminal.run("cronq errors")


def _status(terminal: Terminal, _: Scene) -> None:
    terminal.run("cronq status")


def _top(terminal: Terminal, _: Scene) -> None:
    terminal.clear()
    terminal.type("cronq top")
    terminal.wait_for("last failures")


def _leave(terminal: Terminal) -> None:
    terminal.press("q")
    terminal.wait_for("$")


SHOTS: dict[str, Shot] = {
    "ls": _ls,
    "show": _show,
    "errors": _errors,
    "top": _top,
    "status": _status,
}
"""By the name of their files."""
