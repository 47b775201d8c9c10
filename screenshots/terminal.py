"""A real terminal to take pictures of: a tmux server of its own, and what it shows as SVG."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

PATIENCE = 60.0
"""Seconds until something must be on the screen."""

THEME = TerminalTheme(
    (30, 30, 36),
    (214, 214, 214),
    [
        (70, 74, 84), (224, 108, 117), (152, 195, 121), (229, 192, 123), (97, 175, 239), (198, 120, 221),
        (86, 182, 194), (200, 204, 212),
    ],
    [
        (110, 116, 130), (240, 128, 136), (172, 215, 141), (245, 212, 143), (120, 195, 255), (214, 145, 235),
        (106, 202, 214), (255, 255, 255),
    ],
)  # fmt: skip


class Size(NamedTuple):
    """Of a terminal, in characters."""

    columns: int
    rows: int

    def __str__(self) -> str:
        """`80x24`."""
        return f"{self.columns}x{self.rows}"


class Terminal:
    """One window of a private tmux server."""

    def __init__(self, size: Size, directory: Path, environment: Mapping[str, str]) -> None:
        self.size = size
        self._tmux = ["tmux", "-L", f"cronq-{os.getpid()}-{size}", "-f", os.devnull, "-u"]
        self._directory = directory
        self._environment = dict(environment)

    def __enter__(self) -> Self:
        shell = ["env", "PS1=$ ", "PROMPT_COMMAND=", "bash", "--norc", "--noprofile", "-i"]
        window = ["-x", str(self.size.columns), "-y", str(self.size.rows), "-c", str(self._directory)]
        self._ask("new-session", "-d", *window, shlex.join(shell), environment=self._environment)
        self._ask("set-option", "-g", "status", "off")
        self._ask("resize-window", "-x", str(self.size.columns), "-y", str(self.size.rows))
        self.wait_for("$ ")
        return self

    def __exit__(self, *_failure: object) -> None:
        self._ask("kill-server")

    def type(self, text: str) -> None:
        """Type the text and press Enter."""
        self._ask("send-keys", "-l", text)
        self._ask("send-keys", "Enter")

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names for them."""
        self._ask("send-keys", *keys)

    def run(self, command: str) -> None:
        """Clear the screen, run a command and wait for its end."""
        self.clear()
        self.type(command)
        self.wait_until(lambda: self.lines()[-1] == "$" and len(self.lines()) > 1, f"the end of {command}")

    def clear(self) -> None:
        """An empty screen with a prompt."""
        self.type("clear")
        self.wait_until(lambda: self.lines() == ["$"], "an empty screen")

    def lines(self) -> list[str]:
        """What stands on the screen, without empty lines at its end."""
        return [line.rstrip() for line in self._ask("capture-pane", "-p").rstrip().splitlines()]

    def wait_for(self, text: str) -> None:
        """Wait until this is to be read."""
        self.wait_until(lambda: text.rstrip() in "\n".join(self.lines()), text)

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not appear on\n" + "\n".join(self.lines()))
            time.sleep(0.05)

    def picture(self, title: str) -> str:
        """What the terminal shows, as SVG; lines that are empty to the end are left off."""
        shown = Text.from_ansi(self._ask("capture-pane", "-e", "-p").rstrip("\n")).split("\n", allow_blank=True)
        while shown and not shown[-1].plain.strip(" $"):
            shown.pop()
        console = Console(
            width=self.size.columns, record=True, file=io.StringIO(), color_system="truecolor", force_terminal=True
        )
        for line in shown:
            console.print(line, overflow="crop", no_wrap=True, crop=True)
        svg = console.export_svg(title=title, theme=THEME, unique_id="cronq")
        svg = svg.replace("font-family: Fira Code, monospace", "font-family: Fira Code, DejaVu Sans Mono, monospace")
        return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"

    def _ask(self, *command: str, environment: Mapping[str, str] | None = None) -> str:
        asked = subprocess.run([*self._tmux, *command], env=environment, capture_output=True, text=True, check=True)
        return asked.stdout
