"""Check each request before it reaches a page, and add headers that protect the answer."""

from __future__ import annotations

import hmac
import re
import secrets
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from flask import abort, g, redirect, request, session

from cronq.web.access import TokenAccess, Viewer
from cronq.web.settings import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask import Flask, Response
    from werkzeug.wrappers import Response as AnyResponse

    from cronq.web.access import Access

OPEN = frozenset({"static", "health"})
"""Endpoints that need no sign-in: they show nothing of jobs."""

READING = ("GET", "HEAD", "OPTIONS")
LONGEST_FORM = 1 << 18
"""The most bytes of a form: more than the most ids that a change takes."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::\d*)?")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """Checks the host, the sign-in and, for a change, the origin, the form's token and the role, in this order.

    `hosts` are the names that a Host header may have, besides those of the loopback; None: the application around
    the pages has checked the header.
    """

    def __init__(self, access: Access, *, hosts: Iterable[str] | None, read_only: bool) -> None:
        self._access = access
        self._hosts = None if hosts is None else frozenset(host.lower() for host in (*LOOPBACK, *hosts))
        self._read_only = read_only

    def protect(self, app: Flask) -> None:
        """Register the checks and the headers with the application."""
        app.config["MAX_CONTENT_LENGTH"] = LONGEST_FORM
        app.before_request(self._check)
        app.after_request(_add_headers)

    def _check(self) -> AnyResponse | None:
        self._check_host()
        if request.endpoint in OPEN:
            return None
        if isinstance(self._access, TokenAccess) and "token" in request.args:
            return _sign_in(self._access)
        g.viewer = self._viewer()
        if request.method not in READING:
            self._check_change()
        return None

    def _check_host(self) -> None:
        if self._hosts is None:
            return
        found = _HOST.fullmatch(request.headers.get("Host", ""))
        name = found[1].strip("[]").lower() if found else ""
        if name not in self._hosts:
            abort(421, f"{name or 'no name'} is not a name of this server: web.hosts in cronq.toml lists its names")

    def _viewer(self) -> Viewer:
        viewer = self._access.viewer(request, session.get("user"))
        if viewer is None:
            challenge = self._access.challenge
            abort(401 if challenge else 403, "Sign in first.")
        return viewer._replace(role="view") if self._read_only else viewer

    def _check_change(self) -> None:
        if not is_same_origin():
            abort(403, "This form comes from another site: nothing was changed.")
        by_bearer = isinstance(self._access, TokenAccess) and self._access.is_bearer(request)
        given = request.headers.get("X-CSRF-Token") or request.form.get("csrf", "")
        expected = session.get("csrf", "")
        if not by_bearer and not (expected and hmac.compare_digest(given.encode(), expected.encode())):
            abort(403, "The form has expired: go back, load the page again, and nothing is lost.")
        if not g.viewer.may_act and request.endpoint != "follow":
            abort(403, "You may view, but not change anything.")


def is_same_origin() -> bool:
    """Tell whether the browser's headers name a page of this server as the sender; True also without such headers."""
    site = request.headers.get("Sec-Fetch-Site")
    if site not in (None, "same-origin", "none"):
        return False
    origin = request.headers.get("Origin") or request.headers.get("Referer")
    return origin is None or _place(origin) == request.headers.get("Host", "")


def _place(address: str) -> str | None:
    try:
        return urlsplit(address).netloc or None
    except ValueError:
        return None


def csrf_token() -> str:
    """Return the token that the forms of this browser's session carry; the first call makes it."""
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(24)
    token: str = session["csrf"]
    return token


def _sign_in(access: TokenAccess) -> AnyResponse:
    """Sign in a browser that has the token, and redirect it to the address without the token."""
    if request.method != "GET" or not access.admits(request.args["token"]):
        abort(403, "This token is not that of the running server: it prints a new one at each start.")
    session.clear()
    session["user"] = access.mark
    # Without scheme and host: a proxy with TLS may be in front. One slash: after two, the browser would read a host.
    return redirect(quote(f"{request.script_root}/{request.path.lstrip('/')}"))


def _add_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers[name] = value
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "private, no-cache"
        response.headers["Vary"] = "Accept, Cookie"
    return response
