"""Check that notices can be sent, without sending one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.errors import ConfigError
from cronq.monitoring.doctor.finding import Finding, fine, problem
from cronq.notifications import channels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.monitoring.doctor.context import Installation


def libraries(installation: Installation) -> Iterator[Finding]:
    """Check that the libraries of `notify` and `sentry` are installed and know the URLs."""
    config = installation.config
    if not (config.notify or config.sentry):
        return
    try:
        channels.check(config)
    except ConfigError as error:
        yield problem(str(error), "without it `cronq run` and `cronq work` refuse to start")
        return
    for number, url in enumerate(config.notify, 1):
        try:
            channels.service_at(url)
        except channels.Undelivered as error:
            place = f"notify: URL {number} ({url.partition(':')[0]}://…)"
            yield problem(f"{place}: {error}", "https://github.com/caronc/apprise/wiki tells how URLs are written")
        else:
            yield fine(f"notices go to {url.partition(':')[0]}")
