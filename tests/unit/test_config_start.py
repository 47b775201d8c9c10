"""Reading the configuration is part of every start: what it may import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

HEAVY = [
    "dataclasses",
    "typing",
    "re",
    "json",
    "enum",
    "pathlib",
    "inspect",
    "logging",
    "contextlib",
    "tomllib",
    "urllib",
    "argparse",
    "random",
    "functools",
    "collections",
    "difflib",
    "pwd",
    "sqlalchemy",
    "typer",
    "cronsim",
    "zoneinfo",
    "calendar",
]

PLAIN = """\
database = "sqlite:///cronq.db"
app = "shop.jobs:queue"
jobs = 4  # children
wake = ["tcp://127.0.0.1:11137"]
[retry]
base = "10s"
jitter = 0.2
[tasks."mail.send"]
priority = 10
[schedules."report.daily"]
cron = ["30 2 * * *", "30 14 * * *"]
timezone = "Europe/Prague"
start = "2026-12-01T00:00"
[schedules."report.daily".args]
region = "eu"
number = 3
"""


def _modules(code: str, cwd: Path) -> set[str]:
    script = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{code}\nprint(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", script]
    done = subprocess.run(command, cwd=cwd, env={"HOME": str(cwd)}, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_start_imports_nothing_heavy(tmp_path: Path) -> None:
    assert _modules("from cronq.config.loader import load; load()", tmp_path).isdisjoint(HEAVY)


def test_a_plain_file_imports_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "cronq.toml").write_text(PLAIN)
    code = "from cronq.config.loader import load; assert load().jobs == 4"
    assert _modules(code, tmp_path).isdisjoint(HEAVY)


def test_any_other_file_imports_only_what_tomllib_needs(tmp_path: Path) -> None:
    (tmp_path / "cronq.toml").write_text("retry.base = 1")
    code = "from cronq.config.loader import load; assert load().retry.base == 1"
    plain = _modules("import errno, os, tomllib, cronq.errors, cronq.times", tmp_path)
    assert _modules(code, tmp_path) - plain <= {
        "cronq.config",
        "cronq.config.loader",
        "cronq.config.settings",
        "cronq.config.database_url",
        "cronq.config.toml",
    }
