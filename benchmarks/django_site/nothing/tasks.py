"""The task."""

from importlib.util import find_spec

if find_spec("django.tasks"):
    from django.tasks import task
else:
    from django_tasks import task


@task
def nothing(number: int) -> None:
    """Do nothing."""
