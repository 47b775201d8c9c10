"""The tasks."""

import time
from importlib.util import find_spec
from pathlib import Path

if find_spec("django.tasks"):
    from django.tasks import task
else:
    from django_tasks import task


@task
def nothing(number: int) -> None:
    """Do nothing."""


@task
def note(mark: str) -> None:
    """Write into a file when this began."""
    Path(mark).write_text(str(time.monotonic_ns()))
