"""How much a test run does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.scale import engines

ROOT = Path(__file__).parents[2]


def collected(directory: Path, **environment: str) -> list[str]:
    """The tests that pytest finds in a directory with one test on each engine."""
    (directory / "test_it.py").write_text(
        "import pytest\nfrom tests import scale\n"
        '@pytest.mark.parametrize("engine", scale.engines("mysql"))\ndef test_it(engine): pass\n'
    )
    (directory / "conftest.py").write_text("from tests.conftest import pytest_collection_modifyitems\n")
    usual = {name: value for name, value in os.environ.items() if name not in ("THOROUGH", "STORM_JOBS")}
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-c", str(ROOT / "pyproject.toml")]
    command.append(str(directory))
    ran = subprocess.run(command, env=usual | environment, capture_output=True, text=True, check=True)
    return [line.rpartition("::")[2] for line in ran.stdout.splitlines() if "::" in line]


def test_further_engines_are_left_to_thorough_runs(tmp_path: Path) -> None:
    everything = [f"test_it[{one.values[0]}]" for one in engines()]
    assert collected(tmp_path) == ["test_it[mysql]"]
    assert collected(tmp_path, THOROUGH="1") == everything
    assert collected(tmp_path, STORM_JOBS="20") == everything
