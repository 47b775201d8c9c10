"""Find the limits of new jobs, from the configuration and the jobs' arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cronq.errors import ConfigError
from cronq.model import limits as rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cronq.config.loader import Config
    from cronq.model.limits import Bounds, Limit
    from cronq.storage.flow_stats import LimitStats

_EXPECTED = 'a whole number of at least 1, or {concurrency = 5, rate = "100/10s"}'


def configured(config: Config) -> dict[str, Bounds]:
    """Return the bounds that [limits] defines, by key. Raises ConfigError naming the key."""
    return {name: _bounds(name, value, config) for name, value in config.limits.items()}


def differing(limits: Iterable[LimitStats], config: Config) -> list[LimitStats]:
    """Return the limits whose stored bounds, those of the host that last enqueued or ran, differ from the config's."""
    here = configured(config)
    return [one for one in limits if one.name == one.pattern and here.get(one.name, one.configured) != one.configured]


def _bounds(name: str, value: object, config: Config) -> Bounds:
    where = f"{config.origins['limits'].removeprefix('file ')}: limits.{name}"
    if not 0 < len(name) <= rules.LONGEST_NAME or not name.isprintable() or "*" in name[:-1]:
        raise ConfigError(f"{where}: expected a name, or the start of names and *")
    try:
        return rules.parse_bounds(value)
    except ValueError:
        raise ConfigError(f"{where}: expected {_EXPECTED}: got {value!r}") from None


def resolve(template: object, arguments: Mapping[str, Any], config: Config) -> Limit:
    """Find the limit of a job with these arguments. Raises InvalidInput, and ConfigError for an undefined one."""
    return rules.resolve(template, arguments, configured(config))
