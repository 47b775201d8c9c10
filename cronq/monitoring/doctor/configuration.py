"""Check the configuration: which file is read, who can read it, whether the app can be imported."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from cronq.app import load_app
from cronq.config.database_url import without_password
from cronq.errors import CronqError
from cronq.monitoring.doctor.finding import Finding, fine, problem, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.config.loader import Config
    from cronq.monitoring.doctor.context import Installation


def source(installation: Installation) -> Iterator[Finding]:
    """Name the configuration file that is read, or where the database comes from without one."""
    config = installation.config
    if config.file is not None:
        yield fine(f"read from {config.file}")
    elif config.origins["database"] == "default":
        yield fine(f"no configuration file: the queue is {config.safe_database()}")
    else:
        yield fine(f"no configuration file; the database comes from {config.origins['database']}")


def secrecy(installation: Installation) -> Iterator[Finding]:
    """Check that others can't read a password in the file."""
    config = installation.config
    if config.file is None:
        return
    mode = Path(config.file).stat().st_mode
    in_file = [key for key in ("database", "wake") if config.origins[key] == f"file {config.file}"]
    urls = [url for key in in_file for url in _urls(config, key)]
    tells = any(config.origins[key] == f"file {config.file}" for key in ("notify", "sentry", "ping"))
    if mode & stat.S_IROTH and (tells or any(without_password(url) != url for url in urls)):
        yield warning(
            f"{config.file} holds a password and all users can read it",
            f"chmod 0640 {config.file}, with a group that cronq's user is in",
        )


def _urls(config: Config, key: str) -> tuple[str, ...]:
    return (config.database,) if key == "database" else config.wake


def application(installation: Installation) -> Iterator[Finding]:
    """Check that the app can be imported."""
    name = installation.config.app
    if name is None:
        yield fine("no app is configured: only shell commands can run")
        return
    try:
        with load_app(installation.config) as queue:
            tasks = len(queue.registry.names())
    except CronqError as error:
        yield problem(
            str(error), f"make `python -c 'import {name.partition(':')[0]}'` work for the user that runs cronq"
        )
    else:
        yield fine(f"app {name} knows {tasks} {'task' if tasks == 1 else 'tasks'}")
