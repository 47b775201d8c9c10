"""Serve the pages with waitress, on an address of this host or a Unix socket."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from waitress.server import create_server

from cronq.errors import ConfigError
from cronq.system import audit
from cronq.web import connections
from cronq.web.access import BasicAccess, HeaderAccess, TokenAccess
from cronq.web.application import application
from cronq.web.backend import Backend
from cronq.web.guard import LONGEST_FORM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cronq.config.loader import Config
    from cronq.web.access import Access
    from cronq.web.settings import WebSettings

    Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_THREADS = 6
_SPARE = 100
"""Connections beyond the most that are kept: those that are being closed."""

_LONGEST_HEADER = 16_384


def access_of(settings: WebSettings) -> Access:
    """Make the access control that the setting `auth` names."""
    if settings.auth == "basic":
        return BasicAccess(settings)
    if settings.auth == "header":
        return HeaderAccess(settings)
    return TokenAccess(audit.who().partition("@")[0])


class Server:
    """Serves the pages at a socket that listens."""

    def __init__(self, server: Any, settings: WebSettings, access: Access) -> None:
        self._server = server
        self._settings = settings
        self._access = access

    @classmethod
    def open(cls, config: Config, settings: WebSettings) -> Self:
        """Listen at the address or the Unix socket of the settings. Raises ConfigError if that fails."""
        access = access_of(settings)
        app = application(Backend(config, settings), access, hosts=settings.hosts)
        server = create_server(under(app, settings.prefix), **_options(settings), sockets=[_listening(settings)])
        connections.bound(server)
        if settings.socket:
            Path(settings.socket).chmod(0o660)
        return cls(server, settings, access)

    @property
    def url(self) -> str:
        """The address of the first page, with the token where it is needed."""
        token = f"?token={self._access.token}" if isinstance(self._access, TokenAccess) else ""
        if self._settings.socket:
            return f"unix:{self._settings.socket} {self._settings.prefix}/{token}"
        host = self._settings.address[0]
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self._server.effective_port}{self._settings.prefix}/{token}"

    def run(self) -> None:
        """Answer requests until a signal interrupts it."""
        self._server.run()

    def close(self) -> None:
        """Stop listening, and remove the Unix socket."""
        self._server.close()
        if self._settings.socket:
            Path(self._settings.socket).unlink(missing_ok=True)


def _options(settings: WebSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "threads": _THREADS,
        "connection_limit": connections.most_connections() + _SPARE,
        "cleanup_interval": 1,
        "max_request_header_size": _LONGEST_HEADER,
        "max_request_body_size": LONGEST_FORM,
        "asyncore_use_poll": True,
        "ident": None,
        "clear_untrusted_proxy_headers": True,
    }
    return options | _proxy(settings)


def _proxy(settings: WebSettings) -> dict[str, Any]:
    """Return the options by which a proxy's X-Forwarded-Proto counts.

    A client that forges the header loses only its own cookie, which is then sent over TLS only.
    """
    if not (settings.socket or settings.proxies):
        return {}
    return {"trusted_proxy": "*", "trusted_proxy_headers": {"x-forwarded-proto"}}


def _listening(settings: WebSettings) -> socket.socket:
    """Open the listening socket. Raises ConfigError if that fails, with what helps."""
    try:
        if settings.socket:
            return _unix_socket(settings.socket)
        family = socket.AF_INET6 if ":" in settings.address[0] else socket.AF_INET
        return socket.create_server(settings.address, family=family, reuse_port=False)
    except OSError as error:
        raise ConfigError(f"web.bind: {settings.bind}: {error.strerror}: --bind gives another address") from None


def _unix_socket(path: str) -> socket.socket:
    """Open a listening Unix socket; a socket that a dead server left is replaced."""
    place = Path(path)
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            place.unlink(missing_ok=True)
        except OSError:
            pass
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(128)
    return listening


def under(app: Application, prefix: str) -> Application:
    """Return a WSGI application that serves this one below a prefix of the path."""
    if not prefix:
        return app

    def mounted(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == prefix or path.startswith(f"{prefix}/"):
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + prefix
            environ["PATH_INFO"] = path.removeprefix(prefix) or "/"
        return app(environ, start_response)

    return mounted
