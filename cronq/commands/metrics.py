"""`cronq metrics`: Prometheus' text format, for a scraper or node_exporter's textfile collector."""

from __future__ import annotations

import os
import sys

from cronq import __version__
from cronq.commands.fast_options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    import typer

    from cronq.commands import Invocation

_MODE = 0o644


class MetricsOptions(Options):
    """The options of `metrics` as they were typed."""

    textfile: Annotated[
        str | None, typer.Option(metavar="PATH", help="Replace this file in one step, for node_exporter.")
    ] = None


parse = MetricsOptions.read


def execute(invocation: Invocation, options: MetricsOptions) -> int:
    """Read the statistics, write them to stdout or replace the file."""
    from cronq.errors import Unavailable
    from cronq.monitoring import metrics
    from cronq.storage import stats

    config = invocation.config
    taken = stats.take_recent(config)
    if taken is None:
        raise Unavailable(f"{config.safe_database()} has no tables of this cronq yet")
    seen, lately = taken
    text = metrics.expose(seen, lately, version=__version__, database=config.database_url().family)
    if options.textfile is not None:
        _replace(options.textfile, text)
    elif sys.stdout is not None:
        sys.stdout.write(text)
    return 0


def _replace(path: str, text: str) -> None:
    """Replace the file in one step, so that no reader sees a part of it."""
    folder, name = os.path.split(path)
    temporary = f"{folder or '.'}/.{name}.{os.getpid()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
    try:
        with open(fd, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(text)
            file.flush()
            os.fchmod(fd, _MODE)
            os.fsync(fd)
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108
        raise
