"""`python -m benchmarks.steps` measures each step of a job."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.contest import ROOT, environment


@pytest.mark.parametrize(
    ("step", "statements"),
    [("one_a_call", [1.0]), ("claim_and_settle", [0.1, 1.1])],
    ids=["enqueue", "claim and settle"],
)
def test_a_step_on_sqlite_takes_this_many_statements_a_job(step: str, statements: list[float], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.steps", "step", step, "cronq_sqlite", str(tmp_path), "counted"]
    done = subprocess.run(command, cwd=ROOT, env=environment(tmp_path), check=True, stdout=subprocess.PIPE)
    taken = json.loads(done.stdout.splitlines()[-1])
    for (own, children, server, counted), most in zip(taken, statements, strict=True):
        assert own > 0
        assert (children, server) == (0, 0)
        assert 0 < counted <= most
