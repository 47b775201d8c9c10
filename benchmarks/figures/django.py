"""Django's tasks: 500 that do nothing, run by cronq and by django-tasks-db."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contest import ROOT, environment
from benchmarks.result import Figure, Must

SITE = ROOT / "benchmarks" / "django_site"
PEER = "django-tasks-db"
TASKS = 500
FILL = """
import django; django.setup()
from nothing.tasks import nothing
for number in range({count}):
    nothing.using(backend={backend!r}).enqueue(number)
"""
LEFT = """
import django; django.setup()
from {module} import {model}
print({model}.objects.exclude({column}={done!r}).count())
"""
WORKERS = {
    "default": ("-m", "cronq", "run"),
    "peer": ("-m", "django", "db_worker", "--batch", "--no-startup-delay", "--backend", "peer"),
}
LEFTOVERS = {
    "default": LEFT.format(module="cronq.django.models", model="Job", column="state", done="finished"),
    "peer": LEFT.format(module="django_tasks_db.models", model="DBTaskResult", column="status", done="SUCCESSFUL"),
}


def run(*, rounds: int) -> list[Figure]:
    """Drain 500 tasks, start of the command to its end."""
    ours, theirs = zip(*[(drained("default"), drained("peer")) for _ in range(rounds)], strict=True)
    return [Figure("django", "Django: drain of 500, start to end", "tasks/s", ours, PEER, theirs, Must(at_least=10))]


def drained(backend: str) -> float:
    """Tasks a second that the backend's worker gets done."""
    with tempfile.TemporaryDirectory(prefix="cronq-bench-") as directory:
        place = Path(directory)
        python(place, "-m", "django", "migrate", "-v0")
        python(place, "-c", FILL.format(count=TASKS, backend=backend))
        began = time.monotonic()
        python(place, *WORKERS[backend])
        took = time.monotonic() - began
        left = python(place, "-c", LEFTOVERS[backend])
    assert left.strip() == "0", f"{backend}: {left} tasks were not done"
    return TASKS / took


def python(place: Path, *arguments: str) -> str:
    """Run a program of the project, which must succeed; returns what it prints."""
    given = environment(place)
    given |= {"PYTHONPATH": f"{SITE}:{given['PYTHONPATH']}", "DJANGO_SETTINGS_MODULE": "settings"}
    command: Sequence[str] = [sys.executable, *arguments]
    return subprocess.run(command, cwd=place, env=given, check=True, stdout=subprocess.PIPE, text=True).stdout
