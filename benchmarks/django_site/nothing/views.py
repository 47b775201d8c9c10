"""Define the one page of the project, and its URL."""

from typing import Any

from django.http import HttpResponse
from django.urls import path

from nothing.tasks import nothing


def enqueue(_request: Any, backend: str) -> Any:
    """Enqueue a task with the backend, and answer with its id."""
    return HttpResponse(nothing.using(backend=backend).enqueue(1).id)


urlpatterns = [path("<backend>/", enqueue)]
