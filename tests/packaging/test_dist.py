"""The wheel has all of the package; the one file, built as `make dist` builds it, needs nothing but Python."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.project import ROOT

UNPACKED = """\
import json, os, sys
sys.path.insert(0, sys.argv[1])
from cronq.cli import main
import cronq
assert cronq.__file__.startswith(sys.path[0])
for words in json.loads(sys.argv[2]):
    if os.fork() == 0:
        sys.argv[1:] = words
        sys.exit(main())
    assert os.wait()[1] == 0, words
"""
"""Each command is a fork of this Python."""


def test_the_wheel_has_every_file_and_runs_a_job(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        names = set(archive.namelist())
    files = [path for path in (ROOT / "cronq").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {str(path.relative_to(ROOT)) for path in files} <= names
    for name in ("man/cronq.1", "completions/cronq.bash", "completions/_cronq", "completions/cronq.fish"):
        assert f"cronq/deploy/packaging/{name}" in names

    commands = [["enqueue", "--", "echo", "from the wheel"], ["run"], ["show", "1"]]
    command = [sys.executable, "-I", "-c", UNPACKED, str(tmp_path / "site"), json.dumps(commands)]
    ran = subprocess.run(
        command, cwd=tmp_path, env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    printed, shown = ran.stdout.split("\n", 1)
    assert printed == "1"
    assert shown.startswith("job 1: command, finished")
    assert "from the wheel" in shown


@pytest.fixture
def one_file(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    kept_out = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "dist", "tests")
    shutil.copytree(ROOT, tree, ignore=kept_out)
    environment = Path(sys.executable).parent.parent
    (tree / ".venv").symlink_to(environment)
    command = ["make", "dist", "-o", ".venv/development", "-o", ".venv/cronq"]
    made = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    return tree / "dist" / "cronq"


@pytest.mark.slow
@pytest.mark.thorough
def test_the_one_file_beside_wheel_and_source_needs_nothing_but_python(one_file: Path, tmp_path: Path) -> None:
    def cronq(*arguments: str) -> str:
        command = [str(Path(sys.executable).resolve()), "-I", str(one_file), *arguments]
        # It would compile all of its modules at the first start; the commands here import a quarter of them.
        environment = {"HOME": str(tmp_path), "SHIV_COMPILE_PYC": "false"}
        ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (0, "")
        return ran.stdout

    assert cronq("enqueue", "--", "echo", "from one file") == "1\n"
    assert cronq("run") == ""
    assert "finished" in cronq("ls")
    assert "from one file" in cronq("show", "1")
    with zipfile.ZipFile(one_file) as archive:
        assert json.loads(archive.read("environment.json"))["compile_pyc"] is True
    names = {path.suffix for path in one_file.parent.iterdir()}
    assert names == {"", ".whl", ".gz"}
