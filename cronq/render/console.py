"""Print tables and texts to a terminal through rich: its width, colours and characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cronq.model.printable import one_line

if TYPE_CHECKING:
    from typing import TextIO

    from rich.console import RenderableType

WIDE = 100
"""Width from which a table has space between its columns."""

_RIGHT = frozenset({"id", "e.g.", "tries", "jobs", "since", "last", "done", "memory"})
_CUT = frozenset({"task", "note", "error", "key", "group", "queue", "what"})
"""Columns that are narrowed if a table doesn't fit; the others are never cut."""


class Screen:
    """A terminal to which rich writes."""

    def __init__(self, *, stderr: bool = False, file: TextIO | None = None) -> None:
        self.console = Console(stderr=stderr, file=file, highlight=False, markup=False, emoji=False)
        self.ascii = self.console.options.ascii_only

    @property
    def wide(self) -> bool:
        """Whether the terminal has at least WIDE columns, more than the usual 80."""
        return self.console.width >= WIDE

    def print(self, *what: RenderableType) -> None:
        """Print tables and texts."""
        self.console.print(*what, sep="\n")

    def cell(self, text: str, *, style: str = "", longest: int | None = None) -> Text:
        """Make a text on one line that is cut if its column is too narrow, or after `longest` characters."""
        cut = Text(self.shown(one_line(text)), style=style, no_wrap=True, overflow="crop" if self.ascii else "ellipsis")
        if longest is not None:
            cut.truncate(longest)
        return cut

    def shown(self, text: str) -> str:
        """Replace characters that this terminal can't show by question marks."""
        return text.encode("ascii", "replace").decode() if self.ascii else text

    def table(self, *titles: str, title: str | None = None) -> Table:
        """Make an empty table that fits the terminal."""
        gap = (0, 1, 0, 0) if self.wide else (0, 0, 0, 0)
        table = Table(
            box=box.ASCII2 if self.ascii else box.SIMPLE_HEAD,
            padding=gap,
            pad_edge=False,
            title=title,
            title_justify="left",
            title_style="bold",
            header_style="bold",
            border_style="dim",
        )
        for name in titles:
            # rich narrows the columns that may wrap; the texts in them are cut instead.
            justify = "right" if name in _RIGHT else "left"
            table.add_column(name, justify=justify, no_wrap=name not in _CUT)  # type: ignore[arg-type]
        return table
