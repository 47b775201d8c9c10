"""Ping a service such as healthchecks.io when a run begins, and with its exit status when it ends.

One background process sends the pings, in order. The run writes its exit status into a pipe; if
the pipe ends without one, the run was killed.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from cronq import __version__
from cronq.errors import CronqError
from cronq.system import background
from cronq.system.deadline import DeadlineExceeded, deadline
from cronq.times import span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

TRIES = 3
LIMIT = 10.0
"""Seconds that one try may take."""

_PAUSE = 2.0
_FAIL = "fail"
_REFUSED = range(400, 500)
"""Statuses after which a second try is useless."""


class Pinged:
    """Sends the pings of one run; their failures don't affect the run."""

    def __init__(self, url: str, start_logging: Callable[[], None]) -> None:
        self._url = url
        self._start_logging = start_logging
        self._told: int | None = None
        self.status = 0
        """The exit status that the run will have."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.status = error.exit_status if isinstance(error, CronqError) else -1
        with suppress(OSError):
            self._tell_end()

    def begins(self) -> None:
        """Start the background process, which pings now and when the run ends."""
        with suppress(OSError):
            reading, self._told = os.pipe()
            background.start(lambda: self._accompany(reading))
            os.close(reading)

    def _tell_end(self) -> None:
        if self._told is None:
            background.start(lambda: self._tell(_Check(self._url), self._end(self.status)))
        else:
            os.write(self._told, bytes((self.status & 0xFF,)))
            os.close(self._told)

    def _accompany(self, reading: int) -> None:
        if self._told is not None:
            os.close(self._told)
        check = _Check(self._url)
        self._tell(check, "start")
        said = os.read(reading, 1)
        self._tell(check, self._end(said[0]) if said else _FAIL)

    def _tell(self, check: _Check, what: str) -> None:
        problem = check.ping(what)
        if problem:
            from cronq.system.log import log  # here, not above: the run itself need not import logging

            self._start_logging()
            log.warning("the ping to %s did not get through: %s", check.host, problem)

    @staticmethod
    def _end(status: int) -> str:
        return {0: "", -1: _FAIL, 0xFF: _FAIL}.get(status, str(status))


class _Check:
    """The pings of one run, which share a `rid`."""

    def __init__(self, url: str) -> None:
        import uuid  # here, as urllib below: only the background process needs it

        self._place, _, query = url.partition("?")
        self._query = "&".join(filter(None, (query, f"rid={uuid.uuid4()}")))
        self.host = url.partition("://")[2].partition("/")[0].rpartition("@")[2]

    def ping(self, what: str) -> str:
        """Send one ping; returns the error, empty if there is none."""
        url = f"{self._place}{'/' if what else ''}{what}?{self._query}"
        for number in range(TRIES):
            time.sleep(number * _PAUSE)
            problem, again = _get(url)
            if not again:
                break
        return problem


def _get(url: str) -> tuple[str, bool]:
    """Send one request; returns the error, and whether another try may help."""
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url, headers={"User-Agent": f"cronq/{__version__}"})
    try:
        with deadline(LIMIT), urllib.request.urlopen(request, timeout=LIMIT):
            return "", False
    except DeadlineExceeded:
        return f"no answer within {span(LIMIT)}", True
    except urllib.error.HTTPError as error:
        return f"HTTP status {error.code}", error.code not in _REFUSED
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", None) or error), True
