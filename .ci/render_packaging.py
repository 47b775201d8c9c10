"""Write packaging/ anew from cronq's templates, as a standard installation has it."""

from __future__ import annotations

from pathlib import Path

from cronq.installation import Installation
from cronq.system_files import system_files

PACKAGING = Path(__file__).parent.parent / "packaging"


def main() -> None:
    """Write every file; what no template stands for is removed."""
    rendered = {PACKAGING / file.name: file.text for file in system_files("", Installation())}
    for old in (path for path in PACKAGING.rglob("*") if path.is_file() and path not in rendered):
        old.unlink()
    for path, text in rendered.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
