"""Identify the user of a request, and decide whether that user may view or act."""

from __future__ import annotations

import hmac
import secrets
import time
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, NamedTuple, Protocol

from werkzeug.security import check_password_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flask import Request

    from cronq.web.settings import WebSettings

    Authorise = Callable[[Mapping[str, object]], "tuple[str, str] | str | None"]

VIEW, ACT = "view", "act"
_REMEMBERED = 300.0
"""Seconds for which a correct password isn't checked again: a check takes 60 ms."""

_MOST_REMEMBERED = 1000


class Viewer(NamedTuple):
    """The user of a request, and the user's role: `view` or `act`."""

    name: str
    role: str

    @property
    def may_act(self) -> bool:
        """Whether the user may make changes."""
        return self.role == ACT


class Access(Protocol):
    """Identifies the user of a request."""

    challenge: str | None
    """The WWW-Authenticate header for a request without a known user; None if it is refused without one."""

    def viewer(self, request: Request, signed_in: str | None) -> Viewer | None:
        """Return the viewer, None for a request without access. `signed_in` is the value `user` of its cookie."""


class TokenAccess:
    """Admits requests with the token that the server printed in its address, or with the cookie given for it."""

    challenge: str | None = None

    def __init__(self, name: str, token: str | None = None) -> None:
        self.token = token or secrets.token_urlsafe(24)
        self._name = name

    def admits(self, token: str) -> bool:
        """Tell whether a text is the server's token."""
        return hmac.compare_digest(token.encode(), self.token.encode())

    def viewer(self, request: Request, signed_in: str | None) -> Viewer | None:
        """Return the user that started the server if the request has the cookie, or the token as bearer, else None."""
        return Viewer(self._name, ACT) if self.is_bearer(request) or signed_in == self.mark else None

    def is_bearer(self, request: Request) -> bool:
        """Tell whether the request has the token as a bearer: a program sends it so, a form of another site can't."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        return kind.lower() == "bearer" and self.admits(token.strip())

    @property
    def mark(self) -> str:
        """The value in the cookie of a browser that had the token: the beginning of the token's hash."""
        return sha256(self.token.encode()).hexdigest()[:16]


class BasicAccess:
    """Admits users by HTTP Basic; the scrypt hashes of their passwords are in the configuration."""

    challenge: str | None = 'Basic realm="cronq", charset="UTF-8"'

    def __init__(self, settings: WebSettings) -> None:
        self._users = settings.users or {}
        self._act = settings.act
        self._salt = secrets.token_bytes(16)
        self._right: dict[bytes, float] = {}

    def viewer(self, request: Request, signed_in: str | None) -> Viewer | None:  # noqa: ARG002
        """Return the user if the password is correct, else None."""
        given = request.authorization
        if given is None or given.type != "basic":
            return None
        name, password = given.username or "", given.password or ""
        if not self._is_right(name, password):
            return None
        return Viewer(name, ACT if name in self._act else VIEW)

    def _is_right(self, name: str, password: str) -> bool:
        mark = hmac.digest(self._salt, f"{name}\0{password}".encode(), "sha256")
        if self._right.get(mark, 0.0) > time.monotonic():
            return True
        hashed = self._users.get(name) or _NO_PASSWORD
        if not check_password_hash(hashed, password) or name not in self._users:
            return False
        if len(self._right) >= _MOST_REMEMBERED:
            self._right.clear()
        self._right[mark] = time.monotonic() + _REMEMBERED
        return True


_NO_PASSWORD = "scrypt:32768:8:1$AAAAAAAAAAAAAAAA$" + "0" * 128
"""The hash that is checked for an unknown name, so that the answer takes as long as for a known one."""


class HeaderAccess:
    """Admits the user named in a header, if the request comes from one of the configured proxies."""

    challenge: str | None = None

    def __init__(self, settings: WebSettings) -> None:
        self._header = settings.header
        self._act = settings.act
        self._by_socket = settings.socket is not None and "unix" in settings.proxies
        self._networks = [ip_network(one, strict=False) for one in settings.proxies if one != "unix"]

    def viewer(self, request: Request, signed_in: str | None) -> Viewer | None:  # noqa: ARG002
        """Return the user in the header if the request comes from a configured proxy, else None."""
        name = request.headers.get(self._header, "").strip()
        if not name or not self._is_believed(request.remote_addr or ""):
            return None
        return Viewer(name, ACT if name in self._act else VIEW)

    def _is_believed(self, address: str) -> bool:
        if self._by_socket:
            return True
        try:
            peer = ip_address(address)
        except ValueError:
            return False
        return any(peer in network for network in self._networks)


class HostAccess:
    """Admits the users that are authorised by the application in which the pages are mounted."""

    challenge: str | None = None

    def __init__(self, authorise: Authorise) -> None:
        self._authorise = authorise

    def viewer(self, request: Request, signed_in: str | None) -> Viewer | None:  # noqa: ARG002
        """Return the user by the result of `authorise`: a name and `view` or `act`, one of these alone, or None."""
        said = self._authorise(request.environ)
        if not said:
            return None
        name, role = said if isinstance(said, tuple) else ("web", said)
        return Viewer(str(name), ACT if role == ACT else VIEW)
