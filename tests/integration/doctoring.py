"""Say what a check of doctor finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cronq.config.loader import Config
from cronq.monitoring.doctor.context import Installation, Places
from cronq.monitoring.doctor.finding import Finding, Level

Check = Callable[[Installation], Iterator[Finding]]


def bad(check: Check, config: Config, **places: Any) -> list[str]:
    """What the check finds that isn't well; each has to say what to do."""
    installation = Installation(config, Places(**places))
    found = [one for one in check(installation) if one.level is not Level.OK]
    installation.close()
    assert all(one.advice for one in found)
    return [f"{one.level}: {one.text}" for one in found]
