"""Check the table [web] of the configuration, and the options of `cronq web`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cronq.config.settings import Setting, choice, section
from cronq.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cronq.config.loader import Config

DEFAULT_BIND = "127.0.0.1:11180"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
HIDDEN = ("*password*", "*passwd*", "*token*", "*secret*", "*api_key*", "*apikey*")
_UNIX = "unix:"
_HIGHEST_PORT = 65535
_HASH = "scrypt:"


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError
    return value


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(one) for one in (value if isinstance(value, list | tuple) else [value]))


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - what a check raises
    return value


def _bind(value: object) -> str:
    text = _text(value)
    if text.startswith(_UNIX):
        if not text.startswith(f"{_UNIX}/"):
            raise ValueError
        return text
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdecimal() and int(port) <= _HIGHEST_PORT):
        raise ValueError
    return text


def _prefix(value: object) -> str:
    text = _text(value).rstrip("/")
    if text and not (text.startswith("/") and text.replace("/", "").replace("-", "").replace("_", "").isalnum()):
        raise ValueError
    return text


def _users(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(str(one).startswith(_HASH) for one in value.values()):
        raise ValueError
    return {_text(name): _text(hashed) for name, hashed in value.items()}


_NAMES = "the name of a user, or an array of them"

SETTINGS: dict[str, Setting] = {
    "bind": Setting("an address such as 127.0.0.1:11180, [::1]:11180 or unix:/run/cronq/web.sock", _bind),
    "prefix": Setting("a path such as /cronq", _prefix),
    "read_only": Setting("true or false", _bool),
    "hosts": Setting("a name of this host, or an array of them, as browsers send it", _texts),
    "auth": choice("token", "basic", "header"),
    "users": Setting("a table of names and hashes that `cronq web --hash-password` printed", _users, secret=True),
    "act": Setting(_NAMES, _texts),
    "header": Setting("the name of a header such as X-Remote-User", _text),
    "proxies": Setting("an address of a proxy, 'unix' for the Unix socket, or an array of them", _texts),
    "hide": Setting("a pattern of keys such as *password*, or an array of them", _texts),
    "show": choice("arguments", "nothing"),
}
"""The keys of [web]."""


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """The checked settings: where the server listens, which users may view and act, and what is hidden."""

    bind: str = DEFAULT_BIND
    prefix: str = ""
    read_only: bool = False
    hosts: tuple[str, ...] = ()
    """Names that a Host header may have, besides those of the loopback."""
    auth: str = "token"
    users: Mapping[str, str] | None = None
    act: tuple[str, ...] = ()
    """Users who may act; the others may only view."""
    header: str = "X-Remote-User"
    proxies: tuple[str, ...] = ()
    hide: tuple[str, ...] = HIDDEN
    show: str = "arguments"

    @property
    def socket(self) -> str | None:
        """The path of the Unix socket, None for an address."""
        return self.bind.removeprefix(_UNIX) if self.bind.startswith(_UNIX) else None

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port, if `bind` is not a Unix socket."""
        host, _, port = self.bind.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def is_local(self) -> bool:
        """Whether only this host can connect."""
        return self.socket is not None or self.address[0] in LOOPBACK


def web_settings(config: Config, **given: object) -> WebSettings:
    """Read [web] and the options `given`, which override it unless they are None.

    Raises ConfigError, also for a server without access control.
    """
    values = section(config.web, SETTINGS, within="web", where=config.origins["web"])
    named = {name: value for name, value in given.items() if value is not None}
    values.update(section(named, SETTINGS, within="web", where="cronq web"))
    chosen = replace(WebSettings(), **values)  # type: ignore[arg-type]
    _require_access(chosen)
    return chosen


def _require_access(chosen: WebSettings) -> None:
    if chosen.auth == "token" and not chosen.is_local:
        raise ConfigError(
            f"web.bind: {chosen.bind} can be reached from other hosts, which would see jobs without a password:"
            ' set web.auth to "basic" or "header", or bind to 127.0.0.1'
        )
    if chosen.auth == "basic" and not chosen.users:
        raise ConfigError('web.auth is "basic", but there is no user in [web.users]: `cronq web --hash-password`')
    if chosen.auth == "header" and not chosen.proxies:
        raise ConfigError('web.auth is "header", but web.proxies names no proxy whose header is to be believed')
