"""Check the documents: links that lead nowhere, commands that install another project, and unfinished places."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
REFUSED = {
    # The name on the package index belongs to another project.
    re.compile(r"(pip|pipx|uv)[\w -]* (install|add) +['\"]?cronq(?!-jobs)\b"): "installs another project",
    re.compile(r"\b(TODO|FIXME|XXX|TBD)\b"): "is not finished",
}


def documents() -> Iterator[Path]:
    """Yield the documents that people read."""
    yield from sorted(ROOT.glob("*.md"))
    yield from sorted((ROOT / "docs").rglob("*.md"))


def texts() -> Iterator[Path]:
    """Yield all files that could name a package to install, or contain a note about unfinished work."""
    yield from documents()
    for folder in ("cronq", "packaging", "demo", "benchmarks", "daemons"):
        yield from (path for path in sorted((ROOT / folder).rglob("*")) if _is_text(path))


def _is_text(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def anchors(text: str) -> set[str]:
    """Return the anchors that a forge makes of the headings."""
    titles = (match["title"] for match in HEADING.finditer(FENCE.sub("", text)))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def broken_links(path: Path) -> Iterator[str]:
    """Yield a message for each link within the project that leads nowhere."""
    for match in LINK.finditer(FENCE.sub("", path.read_text())):
        target, _, anchor = match["target"].partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        aim = (path.parent / target) if target else path
        if not aim.exists():
            yield f"{path.relative_to(ROOT)}: no file {target}"
        elif anchor and anchor not in anchors(aim.read_text()):
            yield f"{path.relative_to(ROOT)}: no heading #{anchor} in {aim.name}"


def refused(path: Path) -> Iterator[str]:
    """Yield a message for each forbidden text in the file."""
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        for pattern, why in REFUSED.items():
            if found := pattern.search(line):
                yield f"{path.relative_to(ROOT)}:{number}: {found[0]!r} {why}"


def main() -> int:
    """Print all problems; return 1 if there is one."""
    wrong = [fault for path in documents() for fault in broken_links(path)]
    wrong += [fault for path in texts() for fault in refused(path)]
    print("\n".join(wrong) if wrong else f"{len(list(documents()))} documents are fit to print")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
