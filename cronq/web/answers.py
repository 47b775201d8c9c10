"""Answer with a page, or with the same as JSON if the request prefers that."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from flask import Response, g, make_response, render_template, request

from cronq.render.text import document

if TYPE_CHECKING:
    from collections.abc import Callable

JSON = "application/json"


def wants_json() -> bool:
    """Tell whether the request prefers JSON to a page."""
    best = request.accept_mimetypes.best_match(["text/html", JSON], default="text/html")
    return best == JSON


def answer(template: str, as_json: Callable[[], Any], **context: Any) -> Response:
    """Answer with the page or its JSON document; with 304 if the client has it already."""
    if wants_json():
        response = Response(document(as_json()) + "\n", mimetype=JSON)
    else:
        response = make_response(render_template(template, **context))
    if response.status_code == 200 and request.method == "GET":  # noqa: PLR2004
        response.set_etag(hashlib.sha256(response.get_data()).hexdigest()[:32])
        response.make_conditional(request)
    return response


def problem(status: int, title: str, text: str) -> Response:
    """Answer with an error status and one sentence on what is wrong."""
    if wants_json():
        response = Response(document({"error": text, "status": status}) + "\n", mimetype=JSON)
    else:
        response = make_response(render_template("problem.html", title=title, text=text, known=g.get("viewer")))
    response.status_code = status
    return response
