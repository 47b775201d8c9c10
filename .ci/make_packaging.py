"""Write the files of packaging/ that come from cronq's templates, as a standard installation has them."""

from __future__ import annotations

from pathlib import Path

from cronq.deploy.files import system_files
from cronq.deploy.installation import Installation

PACKAGING = Path(__file__).parent.parent / "packaging"


def main() -> None:
    """Write every file; remove files without a template from their folders."""
    rendered = {PACKAGING / file.name: file.text for file in system_files("", Installation())}
    for folder in {path.parent for path in rendered}:
        folder.mkdir(exist_ok=True)
        for old in set(folder.iterdir()) - set(rendered):
            old.unlink()
    for path, text in rendered.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
