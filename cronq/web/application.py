"""Make the Flask application: pages, checks of each request, and answers to errors."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask, g, request
from flask.sessions import SecureCookieSessionInterface
from werkzeug.exceptions import HTTPException, Unauthorized

from cronq import __version__
from cronq.errors import CronqError, InvalidInput, JobNotFound, NoQueue, TooSlow
from cronq.system.log import log
from cronq.web import acting, endpoints, filters, flow_pages, pages
from cronq.web.answers import problem
from cronq.web.guard import Guard, csrf_token

if TYPE_CHECKING:
    from collections.abc import Iterable

    from werkzeug.wrappers import Response

    from cronq.web.access import Access
    from cronq.web.backend import Backend

_NARROWER = "ask for less, for example for one queue or one state, or try again when the database has less to do"
_NO_ANSWER = "The queue does not answer"
_ANSWERS: dict[type[CronqError], tuple[int, str]] = {
    JobNotFound: (404, "Not found"),
    NoQueue: (404, "No queue yet"),
    TooSlow: (503, "This takes too long"),
    InvalidInput: (422, "Bad input"),
}
"""The status and the title of the answer to each error but those of the database."""

_STATIC = Path(__file__).parent / "static"


class _Cookies(SecureCookieSessionInterface):
    """Signed cookies; those of a request over TLS are sent over TLS only."""

    def get_cookie_secure(self, app: Flask) -> bool:
        """Tell whether this request came over TLS."""
        del app
        return request.is_secure


def application(
    backend: Backend, access: Access, *, hosts: Iterable[str] | None = (), secret: str | bytes | None = None
) -> Flask:
    """Make the application, with `access` as its access control.

    `hosts` are the names that a Host header may have, besides those of the loopback; None: the application around
    it has checked the header. `secret` signs the cookies, random by default; several processes that serve the same
    pages need the same one.
    """
    app = Flask("cronq.web")
    app.config.update(
        SECRET_KEY=secret or secrets.token_bytes(32),
        SESSION_COOKIE_NAME=f"cronq_{_short_hash(backend.where.encode())}",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        SEND_FILE_MAX_AGE_DEFAULT=31_536_000,
        JSON_SORT_KEYS=False,
        TEMPLATES_AUTO_RELOAD=False,
    )
    app.session_interface = _Cookies()
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.extensions["cronq"] = backend
    Guard(access, hosts=hosts, read_only=backend.settings.read_only).protect(app)
    app.before_request(backend.answering)
    filters.register(app)
    pages.register(app)
    flow_pages.register(app)
    acting.register(app, backend)
    endpoints.register(app)
    _add_context(app, backend)
    _answer_errors(app, access)
    return app


def _short_hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:10]


def _add_context(app: Flask, backend: Backend) -> None:
    marks = {path.name: _short_hash(path.read_bytes()) for path in _STATIC.iterdir() if path.is_file()}

    @app.context_processor
    def _context() -> dict[str, object]:
        return {
            "csrf": csrf_token,
            "marks": marks,
            "viewer": g.get("viewer"),
            "database": backend.where,
            "version": __version__,
            "pages": pages.NAVIGATION,
            "within": pages.WITHIN,
        }


def _answer_errors(app: Flask, access: Access) -> None:
    @app.errorhandler(Exception)
    def _broken(error: Exception) -> Response:
        log.exception("cronq web: %s %s", request.method, request.path)
        return problem(500, "Something is broken here", f"{type(error).__name__}: the server's log says more")

    @app.errorhandler(HTTPException)
    def _refused(error: HTTPException) -> Response:
        response = problem(error.code or 500, error.name, error.description or "")
        if access.challenge is not None and error.code == Unauthorized.code:
            response.headers["WWW-Authenticate"] = access.challenge
        return response

    @app.errorhandler(CronqError)
    def _failed(error: CronqError) -> Response:
        found = (answer for kind, answer in _ANSWERS.items() if isinstance(error, kind))
        status, title = next(found, (503, _NO_ANSWER))
        response = problem(status, title, f"{error}: {_NARROWER}" if isinstance(error, TooSlow) else str(error))
        if title == _NO_ANSWER:
            response.headers["Refresh"] = "5"
        return response
