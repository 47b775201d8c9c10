"""The tests themselves, started as a shell's background, nohup, cron or a daemon starts them."""

from __future__ import annotations

import os
import subprocess
import sys

from daemons.databases import quick_place
from tests.project import ROOT

STARTER = """\
import os, signal, sys
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
os.close(0)
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
os.execv(sys.executable, [sys.executable, "-m", "pytest", *sys.argv[1:]])
"""
TESTS = (
    "tests/cli/test_exit_statuses.py::test_status[130-interrupted]",
    "tests/cli/test_inherited.py::test_compiled_tests_are_kept_for_the_next_test_run",
)


def test_compiled_tests_are_kept_for_the_next_test_run() -> None:
    assert not sys.dont_write_bytecode
    assert "PYTHONDONTWRITEBYTECODE" not in os.environ


def test_signals_reach_what_a_test_starts_whatever_was_ignored_or_blocked_before() -> None:
    options = ["-p", "no:cacheprovider", "-p", "pytest_timeout", "-p", "xdist", "--timeout", "60", "-n", "1"]
    ran = subprocess.run(
        [sys.executable, "-c", STARTER, *options, *TESTS],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 passed" in ran.stdout


def test_directories_of_tests_lie_in_memory_where_there_is_plenty() -> None:
    assert quick_place() is None or "PYTEST_DEBUG_TEMPROOT" in os.environ
