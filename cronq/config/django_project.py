"""Read the configuration of a Django project from its settings, without starting Django.

`cronq run` does this each minute, so it imports the settings and nothing of Django that they don't import.
"""

from __future__ import annotations

import os

from cronq.config import settings
from cronq.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, NoReturn

VARIABLE = "DJANGO_SETTINGS_MODULE"
BACKENDS = ("cronq.django.CronqBackend", "cronq.django.backend.CronqBackend")
NO_BACKEND = 'TASKS has no backend of cronq: {"default": {"BACKEND": "cronq.django.CronqBackend"}}'
APP = "cronq.django.runner:queue"
"""The value of `app` by which runners find a Django project's tasks."""

IN_MEMORY = "sqlite:////nonexistent/cronq-in-memory.db"
"""The URL for a database that only this process has: jobs can be enqueued and read there, not run by others."""

OWN = ("database", "url")
"""Keys of OPTIONS that aren't keys of cronq.toml."""

_NOT_OPTIONS = ("app",)
_RETRY = tuple(settings.RETRY)
_FAMILIES = {
    "sqlite3": "sqlite",
    "spatialite": "sqlite",
    "mysql": "mysql",
    "postgresql": "postgresql",
    "postgresql_psycopg2": "postgresql",
    "postgis": "postgresql",
}
"""The database family by the last word of the name of a Django engine."""

_SCHEMES = {"mysql": "mysql+pymysql", "postgresql": "postgresql+psycopg"}
_WEB_ONLY = {
    "mysql": ("charset", "init_command", "isolation_level", "sql_mode", "use_unicode", "conv", "client_flag"),
    "postgresql": ("pool", "isolation_level", "server_side_binding", "assume_role", "cursor_factory"),
}
"""Options of Django's connections that runners ignore, because they don't say where the database is."""

_TLS = {"ca": "ssl_ca", "cert": "ssl_cert", "key": "ssl_key"}
_TLS_OF_PYMYSQL = ("ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_cert", "ssl_verify_identity", "ssl_disabled")
"""Options that Django passes on if PyMySQL replaces mysqlclient; those of cronq's URLs have the same names."""


def find(module: str | None, *, running: bool = False) -> tuple[str, dict[str, object]] | None:
    """Return the origin and the values of the configuration in these Django settings; None if they have none.

    `running` means that Django has started in this process: its database may be that of a test. Raises ConfigError
    if the settings can't be imported, or the options are wrong.
    """
    found = _settings(module or "")
    alias = alias_of(getattr(found, "TASKS", None) or {})
    if alias is None:
        return None
    options = found.TASKS[alias].get("OPTIONS") or {}
    where = f'{module or "settings"}: TASKS["{alias}"]["OPTIONS"]'
    chosen = database_of(options, where=where)
    if chosen not in found.DATABASES:
        raise ConfigError(f"{where}: database: DATABASES has no {chosen!r}")
    database = _settings_of(chosen) if running else found.DATABASES[chosen]
    return where, values(options, database, where=where, timezone=timezone_of(found))


def timezone_of(found: Any) -> str | None:
    """Return TIME_ZONE of Django's settings; None if they don't set it, as Django's default is America/Chicago."""
    return found.TIME_ZONE if found.is_overridden("TIME_ZONE") else None


def _settings_of(alias: str) -> Mapping[str, Any]:
    from django.db import connections

    return connections[alias].settings_dict  # type: ignore[no-any-return]


def alias_of(backends: Mapping[str, Any]) -> str | None:
    """Return the alias of cronq's backend in TASKS: `default` if that is one, else the first; None without one."""
    ours = [alias for alias, parameters in backends.items() if parameters.get("BACKEND") in BACKENDS]
    return "default" if "default" in ours else ours[0] if ours else None


def database_of(options: Mapping[str, Any], *, where: str) -> str:
    """Return the alias of the database that the options name. Raises ConfigError for anything but a string."""
    alias = options.get("database", "default")
    if not isinstance(alias, str):
        raise ConfigError(f"{where}: database: expected an alias of DATABASES, got {alias!r}")
    return alias


def values(
    options: Mapping[str, Any], database: Mapping[str, Any], *, where: str, timezone: str | None
) -> dict[str, object]:
    """Check OPTIONS, and return cronq's settings from them, Django's database and its TIME_ZONE.

    Raises ConfigError.
    """
    for key in options:
        if key in _NOT_OPTIONS:
            raise ConfigError(f"{where}: {key}: a Django project has its tasks by itself, leave {key} out")
    given = {key: value for key, value in options.items() if key not in (*OWN, *_RETRY)}
    if timezone:
        given.setdefault("timezone", timezone)
    retry = {key: options[key] for key in _RETRY if key in options}
    if retry:
        given["retry"] = {**(given.get("retry") or {}), **retry}
    url = options.get("url") or url_of(database, where=where)
    return settings.read({**given, "database": url, "app": APP}, where=where)


def url_of(database: Mapping[str, Any], *, where: str) -> str:
    """Return cronq's URL for one of DATABASES, or of `connections[alias].settings_dict`. Raises ConfigError."""
    engine = str(database.get("ENGINE") or "")
    family = _FAMILIES.get(engine.rpartition(".")[2]) or _family_within(engine)
    name = database.get("NAME")
    if family == "sqlite":
        return _sqlite_url(name)
    if family is None:
        _refuse(f"engine {engine!r}: workers speak SQLite, MySQL, MariaDB and PostgreSQL", where)
    if not name:
        _refuse("its database has no NAME", where)
    from urllib.parse import quote

    address, query = _address(database, family, where)
    options = "&".join(f"{key}={quote(str(value), safe='/')}" for key, value in query.items())
    user, password = (quote(str(database.get(key) or ""), safe="") for key in ("USER", "PASSWORD"))
    access = f"{user}{':' if password else ''}{password}@" if user else ""
    return f"{_SCHEMES[family]}://{access}{address}/{name}{'?' if options else ''}{options}"


def _family_within(engine: str) -> str | None:
    """Return the family that a part of another engine's path names, as django_prometheus.db.backends.mysql; or None."""
    return next((family for word, family in _FAMILIES.items() if word in engine.split(".")), None)


def _sqlite_url(name: object) -> str:
    path = os.fspath(name) if isinstance(name, (str, os.PathLike)) else ""
    if not path or path == ":memory:" or path.startswith("file:"):
        return IN_MEMORY
    return f"sqlite:///{os.path.abspath(path)}"


def _address(database: Mapping[str, Any], family: str, where: str) -> tuple[str, dict[str, object]]:
    host, port = str(database.get("HOST") or ""), database.get("PORT") or ""
    query: dict[str, object] = {}
    if host.startswith("/"):
        query["unix_socket" if family == "mysql" else "host"] = host
        host = ""
    given = dict(database.get("OPTIONS") or {})
    for key in _WEB_ONLY[family]:
        given.pop(key, None)
    query |= _mysql_options(given, where) if family == "mysql" else given
    return f"{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}", query


def _mysql_options(given: dict[str, Any], where: str) -> dict[str, object]:
    tls = given.pop("ssl", None) or {}
    query: dict[str, object] = {_TLS[key]: value for key, value in tls.items() if key in _TLS}
    for key in _TLS_OF_PYMYSQL:
        value = given.pop(key, None)
        if value is not None:
            query[key] = str(value).lower() if isinstance(value, bool) else value
    for key in ("unix_socket", "connect_timeout", "ssl_mode"):
        value = given.pop(key, None)
        if key == "unix_socket" and value:
            query[key] = value
        elif key == "ssl_mode" and value == "DISABLED":
            query["ssl_disabled"] = "true"
    _refuse_rest(given, where)
    return query


def _refuse_rest(given: Iterable[str], where: str) -> None:
    for key in given:
        _refuse(f"workers can't use the option {key!r} of its database", where)


def _refuse(problem: str, where: str) -> NoReturn:
    raise ConfigError(f'{where}: {problem}; set "url" to a URL that cronq can use')


def _settings(module: str) -> Any:
    import sys

    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        _require_trust(here)
        sys.path.insert(0, here)
    try:
        from django.conf import settings as found

        _ = found.TASKS if hasattr(found, "TASKS") else None
    except ImportError as error:
        raise ConfigError(f"{VARIABLE}: {module!r} can't be imported from {here}: {error}") from error
    except Exception as error:
        raise ConfigError(f"{VARIABLE}: importing {module} failed: {type(error).__name__}: {error}") from error
    return found


def _require_trust(here: str) -> None:
    from cronq.config.loader import why_untrusted

    reason = why_untrusted(here, os.stat(here))
    if reason:
        raise ConfigError(f"{VARIABLE}: settings are not imported from here: {reason}")
