"""Take all pictures, or those named on the command line: python -m screenshots [NAME …]."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from screenshots.scene import Scene
from screenshots.shots import SHOTS
from screenshots.terminal import Size, Terminal

FOLDER = Path(__file__).parent.parent / "docs" / "screenshots"
SIZES = (Size(80, 24), Size(200, 60))


def main(wanted: list[str]) -> None:
    """One scene, all pictures in each size."""
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="shop-") as directory,
        Scene(Path(directory) / "shop") as scene,
    ):
        for size in SIZES:
            with Terminal(size, scene.directory, scene.environment) as terminal:
                for name in wanted or SHOTS:
                    SHOTS[name].reach(terminal, scene)
                    (FOLDER / f"{name}-{size}.svg").write_text(terminal.picture(f"cronq {name}"))
                    SHOTS[name].leave(terminal, scene)
                    print(f"docs/screenshots/{name}-{size}.svg")


if __name__ == "__main__":
    if shutil.which("tmux") is None:
        sys.exit("screenshots: tmux is needed")
    main(sys.argv[1:])
