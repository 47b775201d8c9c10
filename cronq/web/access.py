"""Decide who a request comes from, and whether they may view or act."""

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
"""Seconds for which a password that was right isn't checked again: a check takes 60 ms."""

_MOST_REMEMBERED = 1000


class Viewer(NamedTuple):
    """Who looks, and their role: `view` or `act`."""

    name: str
    role: str

    @property
    def may_act(self) -> bool:
        """Whether they may change anything."""
        return self.role == ACT


class Access(Protocol):
    """Tells who a request comes from."""

    challenge: str | None
    """The WWW-Authenticate header for those who aren't known."""

    def viewer(self, request: Request, signed_in: str | None) -> Viewer | None:
        """Return the viewer, None if the request may not see anything. `signed_in` is what its cookie says."""


class TokenAccess:
    """Signs in a visitor who has the address with the token that the server printed."""

    challenge: str | None = None

    def __init__(self, name: str, token: str | None = None) -> None:
        self.token = token or secrets.token_urlsafe(24)
        self._name = name

    def admits(self, token: str) -> bool:
        """Tell whether this is the token."""
        return hmac.compare_digest(token.encode(), self.token.encode())

    def viewer(self, request: Request, signed_in: str | None) -> Viewer | None:
        """Return the user who started the server, for a request with the cookie or the token as a bearer."""
        return Viewer(self._name, ACT) if self.is_bearer(request) or signed_in == self.mark else None

    def is_bearer(self, request: Request) -> bool:
        """Tell whether a program sent the token as a bearer; a form of another site can't."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        return kind.lower() == "bearer" and self.admits(token.strip())

    @property
    def mark(self) -> str:
        """What the cookie of a browser that had the token says."""
        return sha256(self.token.encode()).hexdigest()[:16]


class BasicAccess:
    """Users with passwords, whose scrypt hashes are in the configuration."""

    challenge: str | None = 'Basic realm="cronq", charset="UTF-8"'

    def __init__(self, settings: WebSettings) -> None:
        self._users = settings.users or {}
        self._act = settings.act
        self._salt = secrets.token_bytes(16)
        self._right: dict[bytes, float] = {}

    def viewer(self, request: Request, signed_in: str | None) -> Viewer | None:  # noqa: ARG002
        """Return the user, if the password is right."""
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
"""Checked for a name that doesn't exist, so that it takes as long."""


class HeaderAccess:
    """Users whom a proxy names in a header; only the configured proxies are believed."""

    challenge: str | None = None

    def __init__(self, settings: WebSettings) -> None:
        self._header = settings.header
        self._act = settings.act
        self._by_socket = settings.socket is not None and "unix" in settings.proxies
        self._networks = [ip_network(one, strict=False) for one in settings.proxies if one != "unix"]

    def viewer(self, request: Request, signed_in: str | None) -> Viewer | None:  # noqa: ARG002
        """Return the user, if the request comes from a proxy."""
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
    """Users whom the application that the pages are mounted in knows."""

    challenge: str | None = None

    def __init__(self, authorise: Authorise) -> None:
        self._authorise = authorise

    def viewer(self, request: Request, signed_in: str | None) -> Viewer | None:  # noqa: ARG002
        """Ask the application: it returns a name and `view` or `act`, one of these, or None."""
        said = self._authorise(request.environ)
        if not said:
            return None
        name, role = said if isinstance(said, tuple) else ("web", said)
        return Viewer(str(name), ACT if role == ACT else VIEW)
