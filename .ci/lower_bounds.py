"""Print the lowest versions that pyproject.toml allows, as constraints for pip; the higher one of two for a name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parent.parent / "pyproject.toml"
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[[\w,]+\])?>=(?P<version>[\d.]+)")


def main() -> None:
    """Print a line for each dependency, those of the extras included."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    lowest: dict[str, tuple[int, ...]] = {}
    for requirement in sum(project["optional-dependencies"].values(), project["dependencies"]):
        found = REQUIREMENT.match(requirement)
        if found is None:
            raise SystemExit(f"{PROJECT}: {requirement!r} has no lower bound")
        version = tuple(map(int, found["version"].split(".")))
        lowest[found["name"]] = max(version, lowest.get(found["name"], ()))
    for name, numbers in lowest.items():
        print(f"{name}=={'.'.join(map(str, numbers))}")


if __name__ == "__main__":
    main()
