"""Take all pictures, or those named on the command line: python -m screenshots [NAME …]."""

from __future__ import annotations

import shutil
import sys
import tempfile
from itertools import product
from pathlib import Path

from screenshots.scene import Scene
from screenshots.shots import LATER, SHOTS, Shot
from screenshots.terminal import Size, Terminal

FOLDER = Path(__file__).parent.parent / "docs" / "screenshots"
SIZES = (Size(80, 24), Size(120, 40), Size(200, 60))


def main(wanted: list[str]) -> None:
    """One scene, all pictures in each size."""
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="shop-") as directory,
        Scene(Path(directory) / "shop") as scene,
    ):
        for shots, size in product((SHOTS, LATER), SIZES):
            with Terminal(size, scene.directory, scene.environment) as terminal:
                for name, shot in shots.items():
                    if not wanted or name in wanted:
                        take(name, shot, terminal, scene)


def take(name: str, shot: Shot, terminal: Terminal, scene: Scene) -> None:
    """One picture."""
    path = FOLDER / f"{name}-{terminal.size}.svg"
    shot.reach(terminal, scene)
    path.write_text(terminal.picture(f"cronq {name.partition('-')[0]}"))
    shot.leave(terminal, scene)
    print(path.relative_to(FOLDER.parent.parent))


if __name__ == "__main__":
    if shutil.which("tmux") is None:
        sys.exit("screenshots: tmux is needed")
    main(sys.argv[1:])
