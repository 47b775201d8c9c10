"""A notification with one deadline for all of it: a broker may send a byte a second, or babble without an end."""

from __future__ import annotations

from threading import Lock, Thread
from typing import TYPE_CHECKING

from cronq.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronq.transports.transport import Transport


class Late(Unavailable):
    """A library did not come back in time. Its thread has the transport now, and closes it."""

    def __init__(self, seconds: float, thread: Thread) -> None:
        super().__init__(f"no answer within {seconds:.1f} s")
        self.thread = thread


def notify(transport: Transport, queue: str, job_id: int, *, seconds: float) -> None:
    """Have the transport notify, in a thread that is left behind where it takes longer than so many seconds.

    A library's own limits are for one read or write, and nothing but another thread gets away from one
    that begins the next. Raises what the transport raises, and Late: the transport must not be used any
    more then. The same holds for what a signal handler raises meanwhile.
    """
    attempt = _Attempt(lambda: transport.notify(queue, job_id), transport.close)
    try:
        attempt.start()
    except RuntimeError:  # no more threads, or the interpreter is about to end
        transport.notify(queue, job_id)
        return
    try:
        attempt.join(seconds)
    finally:
        late = attempt.leave()
    if late:
        raise Late(seconds, attempt)
    if attempt.failed:
        raise attempt.error()


class _Attempt(Thread):
    """One call; what is to be done after it where the caller no longer waits."""

    def __init__(self, act: Callable[[], object], clean_up: Callable[[], object]) -> None:
        super().__init__(name="cronq wake-up", daemon=True)
        self._errors: list[Exception] = []
        self._act = act
        self._clean_up = clean_up
        self._lock = Lock()
        self._over = self._left = False

    def run(self) -> None:
        try:
            self._act()
        except Exception as error:  # handed to the caller, without the frames: they hold sockets
            self._errors.append(error.with_traceback(None))
        with self._lock:
            self._over = True
        if self._left:
            self._clean_up()

    @property
    def failed(self) -> bool:
        return bool(self._errors)

    def error(self) -> Exception:
        """What went wrong. It isn't kept: it would hold its traceback, and that this thread."""
        return self._errors.pop()

    def leave(self) -> bool:
        """Don't wait any longer; returns whether the call still goes on."""
        with self._lock:
            self._left = not self._over
            return self._left
