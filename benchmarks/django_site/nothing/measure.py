"""Enqueue in a process of the project, and print what that took as JSON: `python -m nothing.measure`."""

from __future__ import annotations

import io
import json
import os
import random
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import django
from django.core.wsgi import get_wsgi_application

WARM_UP = 20
STARTS_BEFORE = 3
PATIENCE = 60
DONE = {
    "default": ("cronq.django.models", "Job", {"state": "finished"}),
    "django-tasks-db": ("django_tasks_db.models", "DBTaskResult", {"status": "SUCCESSFUL"}),
    "django-ox": ("django_ox.models", "OxTask", {"status": "SUCCESSFUL"}),
}


def fill(backend: str, count: str) -> None:
    """Enqueue tasks that do nothing."""
    from django.db import transaction

    from nothing.tasks import nothing

    task = nothing.using(backend=backend)
    with transaction.atomic():
        for number in range(int(count)):
            task.enqueue(number)


def done(backend: str) -> int:
    """Count the tasks that were done."""
    module, model, ended = DONE[backend]
    found: int = getattr(import_module(module), model).objects.filter(**ended).count()
    return found


def requests(count: str, *backends: str) -> dict[str, list[tuple[float, float]]]:
    """Return milliseconds of the wall clock and of the processor for each request, to each backend in turn."""
    application = get_wsgi_application()
    taken: dict[str, list[tuple[float, float]]] = {backend: [] for backend in backends}
    for number in range(WARM_UP + int(count)):
        for backend in backends:
            began, used = time.perf_counter(), time.process_time()
            _request(application, f"/{backend}/")
            took = (time.perf_counter() - began) * 1000, (time.process_time() - used) * 1000
            if number >= WARM_UP:
                taken[backend].append(took)
    return taken


def _request(application: Any, page: str) -> None:
    statuses: list[str] = []
    asked: dict[str, object] = {"REQUEST_METHOD": "POST", "PATH_INFO": page, "SERVER_NAME": "shop", "SERVER_PORT": "80"}
    asked |= {"wsgi.input": io.BytesIO(), "wsgi.url_scheme": "http"}
    answer = application(asked, lambda status, _headers: statuses.append(status))
    answer.close()  # ends the request: Django may close its connection
    assert statuses == ["200 OK"], statuses


def starts(backend: str, count: str) -> list[float]:
    """Return the milliseconds from each enqueue until the task has begun, one at a time, after random pauses."""
    from nothing.tasks import note

    task, taken = note.using(backend=backend), []
    for number in range(STARTS_BEFORE + int(count)):
        mark = Path(os.environ["BENCH_PLACE"]) / f"began-{number}"
        time.sleep(random.random())
        began = time.monotonic_ns()
        task.enqueue(str(mark))
        taken.append((_noted(mark) - began) / 1e6)
    return taken[STARTS_BEFORE:]


def _noted(mark: Path) -> int:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if mark.exists() and (text := mark.read_text()):
            return int(text)
        time.sleep(0.005)
    raise TimeoutError(f"{mark.name}: not begun within {PATIENCE} s")


if __name__ == "__main__":
    django.setup()
    what, *given = sys.argv[1:]
    measures: dict[str, Any] = {"fill": fill, "done": done, "requests": requests, "starts": starts}
    print(json.dumps(measures[what](*given)))
