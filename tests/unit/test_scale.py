"""How much a test run does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.scale import engines

ROOT = Path(__file__).parents[2]


PROGRAM = """\
import json, os, sys
import pytest
import tests.brokers, tests.databases, tests.project, tests.servers
for environment in json.loads(sys.argv[1]):
    print(flush=True)
    if (child := os.fork()) == 0:
        os.environ.update(environment)
        status = pytest.main(sys.argv[2:])
        sys.stdout.flush()
        os._exit(status)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"collecting with {environment} failed")
    print("END")
"""
"""Collects tests in a process for each environment, but imports once what reads none of it."""


def collected(directory: Path, *environments: dict[str, str]) -> list[list[str]]:
    """The tests that pytest finds in a directory with one test on each engine, for each environment."""
    (directory / "test_it.py").write_text(
        "import pytest\nfrom tests import scale\n"
        '@pytest.mark.parametrize("engine", scale.engines("mysql"))\ndef test_it(engine): pass\n'
    )
    (directory / "conftest.py").write_text("from tests.conftest import pytest_collection_modifyitems\n")
    usual = {name: value for name, value in os.environ.items() if name not in ("THOROUGH", "STORM_JOBS")}
    options = ["-q", "--collect-only", "-c", str(ROOT / "pyproject.toml"), str(directory)]
    command = [sys.executable, "-c", PROGRAM, json.dumps(environments), *options]
    ran = subprocess.run(command, env=usual, cwd=ROOT, capture_output=True, text=True, check=True)
    *parts, _ = ran.stdout.split("END\n")
    return [[line.rpartition("::")[2] for line in part.splitlines() if "::" in line] for part in parts]


def test_further_engines_are_left_to_thorough_runs(tmp_path: Path) -> None:
    everything = [f"test_it[{one.values[0]}]" for one in engines()]
    environments: list[dict[str, str]] = [{}, {"THOROUGH": "1"}, {"STORM_JOBS": "20"}]
    assert collected(tmp_path, *environments) == [["test_it[mysql]"], everything, everything]
