"""Check that each configured transport answers."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cronq.config.database_url import without_password
from cronq.errors import ConfigError, Unavailable
from cronq.monitoring.doctor.finding import Finding, fine, problem
from cronq.transports.transport import listens, open_transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.monitoring.doctor.context import Installation

_PORT = 11137
_LIMIT = 2.0
_INETD = "`cronq print-config xinetd` or `cronq print-config systemd` gives what must listen there"
_NO_JOB = 0
"""An id that no job has: workers woken by it only look for jobs."""


def transports(installation: Installation) -> Iterator[Finding]:
    """Check each transport: by an empty connection to a port of serve-inetd, by a message to a broker."""
    for url in installation.config.wake:
        inetd = not listens(url)
        try:
            _probe(url) if inetd else _ring(url, installation)
        except ConfigError as error:
            yield problem(str(error), "install the package, or take the URL out of `wake`")
        except (OSError, Unavailable) as error:
            reason = error if isinstance(error, Unavailable) else error.strerror or str(error) or "no answer"
            advice = _INETD if inetd else "see that the broker runs; until then jobs wait for the next run"
            yield problem(f"{without_password(url)} does not answer: {reason}", advice)
        else:
            yield fine(f"{without_password(url)} answers")


def _probe(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "tcp":
        socket.create_connection((parts.hostname or "127.0.0.1", parts.port or _PORT), timeout=_LIMIT).close()
        return
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_LIMIT)
        connection.connect(f"{parts.netloc}{parts.path}")


def _ring(url: str, installation: Installation) -> None:
    with closing(open_transport(url, installation.config)) as transport:
        transport.notify("default", _NO_JOB)
