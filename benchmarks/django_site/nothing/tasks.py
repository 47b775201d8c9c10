"""Define the tasks."""

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
    """Write the time at which this began to a file, in nanoseconds of the monotonic clock."""
    Path(mark).write_text(str(time.monotonic_ns()))
