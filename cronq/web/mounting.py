"""Mount the pages in another application, behind its own sign-in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cronq.config.loader import Config
from cronq.errors import ConfigError
from cronq.web.access import HostAccess
from cronq.web.application import application
from cronq.web.backend import Backend
from cronq.web.settings import web_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cronq.app import Cronq
    from cronq.web.access import Authorise

    Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def wsgi(
    queue: Cronq | Config, authorise: Authorise, *, secret: str | bytes | None = None, read_only: bool = False
) -> Wsgi:
    """Make a WSGI application of the pages, for Flask, Django or any other WSGI server.

    `authorise` is called with the environ of each request. It returns `(name, "act")` or `(name, "view")`, or
    None for a user who may not see the pages. A role alone is enough: the user's name is `web` then. `secret` signs
    the cookie; where several processes serve the pages it must be the same in all, such as the application's own
    secret key. With `read_only` no user may act. The table [web] of the configuration defines what is hidden.
    Raises ConfigError.
    """
    config = queue if isinstance(queue, Config) else queue.config
    settings = web_settings(config.with_values("mounted", web=_shown(config)), read_only=read_only or None)
    hosts = settings.hosts or None
    return application(Backend(config, settings), HostAccess(authorise), hosts=hosts, secret=secret)


def asgi(
    queue: Cronq | Config, authorise: Authorise, *, secret: str | bytes | None = None, read_only: bool = False
) -> Any:
    """Make an ASGI application of the pages, which FastAPI and Starlette can mount; the arguments are those of `wsgi`.

    Raises ConfigError, also if a2wsgi isn't installed.
    """
    try:
        from a2wsgi import WSGIMiddleware
    except ImportError:
        raise ConfigError("mounting in an ASGI application needs a2wsgi: pip install 'cronq-jobs[web]'") from None
    return WSGIMiddleware(wsgi(queue, authorise, secret=secret, read_only=read_only))  # type: ignore[arg-type]


def _shown(config: Config) -> dict[str, object]:
    """Return the settings of [web] on what is shown; the other application listens, and signs users in."""
    return {key: value for key, value in config.web.items() if key in ("hide", "show", "hosts", "read_only")}
