"""Serve monitors: `/metrics` in the text format of Prometheus, and `/health` for probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response

from cronq import __version__
from cronq.errors import CronqError, NoQueue
from cronq.monitoring.metrics import expose
from cronq.web.pages import behind

if TYPE_CHECKING:
    from flask import Flask

_TEXT = "text/plain; version=0.0.4; charset=utf-8"


def register(app: Flask) -> None:
    """Add both endpoints to the application."""
    app.add_url_rule("/health", "health", health, methods=["GET"])
    app.add_url_rule("/metrics", "metrics", metrics, methods=["GET"])


def health() -> Response:
    """Answer with 200 if the queue's database answers, else with 503 and why not. Needs no sign-in."""
    try:
        well = behind().census.get().problem is None
    except NoQueue:
        return Response("there is no queue yet\n", status=503, mimetype="text/plain")
    except CronqError:
        well = False
    if not well:
        return Response("the database does not answer\n", status=503, mimetype="text/plain")
    return Response("ok\n", mimetype="text/plain")


def metrics() -> Response:
    """Answer with what `cronq metrics` prints; with nothing if there is no queue yet."""
    backend = behind()
    taken = backend.figures.get().value
    text = "" if taken is None else expose(*taken, version=__version__, database=backend.config.database_url().family)
    return Response(text, content_type=_TEXT)
