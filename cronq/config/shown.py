"""List the configuration in force for people: each key with its value and origin, without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cronq.config import settings
from cronq.config.database_url import without_password

if TYPE_CHECKING:
    from cronq.config.loader import Config

_HIDDEN = "***"


class Value(NamedTuple):
    """One setting without secrets, and its origin."""

    key: str
    value: object
    origin: str


def values(config: Config) -> list[Value]:
    """List all settings with value and origin, without secrets; of tables only the names of their keys."""
    return [Value(key, _shown(config, key), config.origins[key]) for key in settings.KEYS]


def _shown(config: Config, key: str) -> object:
    section, _, name = key.rpartition(".")
    value = getattr(config.retry if section else config, name)
    if key == "database":
        return config.safe_database()
    if key == "wake":
        return [without_password(url) for url in value]
    if value and key in settings.SETTINGS and settings.SETTINGS[key].secret:
        return _HIDDEN
    if key in settings.TABLES:
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value
