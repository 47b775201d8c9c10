"""Run the servers' tests on the installed and the newest version of each engine, and print a table of them.

Arguments choose engines (`mariadb-installed mariadb-newest mysql-newest postgresql-installed postgresql-newest`) and
columns (`contract explain storm servers`); without arguments of a kind, all of that kind.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from daemons.programs import FIRST, program

ROOT = Path(__file__).parent.parent
INTEGRATION = "tests/integration"
COLUMNS = {
    "contract": ["tests/contract"],
    "explain": [f"{INTEGRATION}/test_explain_servers.py"],
    "storm": [f"{INTEGRATION}/test_server_storm.py"],
    "servers": [
        f"{INTEGRATION}/test_{name}.py" for name in ("servers", "server_schema", "database_users", "strict_servers")
    ],
}
SERVERS = {"mariadb": "mariadbd", "mysql": "mysqld", "postgresql": "postgres"}
ENGINES = ("mariadb-installed", "mariadb-newest", "mysql-newest", "postgresql-installed", "postgresql-newest")
COUNTED = re.compile(r"(\d+) (passed|failed|errors?)")


def place_of(engine: str) -> Path | None:
    """Return the directory of the engine's server program, unpacked first if need be; None if there is none."""
    kind, _, which = engine.partition("-")
    if which == "installed":
        found = program(SERVERS[kind])
        return found.parent if found else None
    unpacked = subprocess.run([ROOT / ".ci" / f"unpack-{kind}"], stdout=subprocess.PIPE, text=True, check=False)
    place = ROOT / ".venv" / "unpacked" / "mysql" if kind == "mysql" else Path(unpacked.stdout.strip() or "/nowhere")
    return place if (place / SERVERS[kind]).exists() else None


def version_of(place: Path, kind: str) -> str:
    """Return the version that the server prints."""
    said = subprocess.run([place / SERVERS[kind], "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+\.[\d.]+", said.partition("Ver")[2] or said)
    return found[0] if found else "unknown"


def tried(column: str, engine: str, place: Path) -> tuple[str, bool]:
    """Run the column's tests with this engine; return the text of their cell, and whether all passed."""
    kind, _, which = engine.partition("-")
    environment = os.environ | {"THOROUGH": "1"}
    if which == "newest" and kind != "mysql":
        environment["CRONQ_TEST_PROGRAMS"] = str(place)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-k", kind, *COLUMNS[column]]
    command += os.environ.get("PYTEST_ARGUMENTS", "").split()
    ran = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    sys.stderr.write(ran.stdout)
    counts = COUNTED.findall(ran.stdout.rstrip().rpartition("\n")[2])
    return ", ".join(f"{number} {what}" for number, what in counts) or "nothing ran", ran.returncode == 0


def row(engine: str, columns: list[str]) -> tuple[str, bool]:
    """Run the tests of all columns with the engine; return its line of the table, and whether all passed."""
    kind, _, which = engine.partition("-")
    place = place_of(engine)
    if place is None:
        return f"| {kind}, {which} | {' | '.join('not here' for _ in columns)} | |", False
    began = time.monotonic()
    cells = [tried(column, engine, place) for column in columns]
    minutes = (time.monotonic() - began) / 60
    said = " | ".join(cell for cell, _ in cells)
    return f"| {kind} {version_of(place, kind)}, {which} | {said} | {minutes:.1f} min |", all(well for _, well in cells)


def main(words: list[str]) -> int:
    """Print the table; return 1 if a test failed or an engine is missing."""
    if unknown := set(words) - set(ENGINES) - set(COLUMNS):
        raise SystemExit(f"{', '.join(sorted(unknown))}: one of {', '.join((*ENGINES, *COLUMNS))}")
    if FIRST:
        raise SystemExit("CRONQ_TEST_PROGRAMS is set: what it names would be taken for the installed version")
    columns = [column for column in COLUMNS if column in words] or list(COLUMNS)
    rows = [row(engine, columns) for engine in [one for one in ENGINES if one in words] or ENGINES]
    print(f"| engine | {' | '.join(columns)} | time |", f"|---|{'---|' * len(columns)}---|", sep="\n")
    print(*(line for line, _ in rows), sep="\n")
    return 0 if all(well for _, well in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
