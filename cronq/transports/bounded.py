"""Notify with one time limit for the whole call: a library's own limits hold for one read or write each."""

from __future__ import annotations

import _thread
from typing import TYPE_CHECKING

from cronq.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronq.transports.transport import Transport


class Late(Unavailable):
    """A library did not return in time. Its thread still has the transport, and closes it."""

    def __init__(self, seconds: float, thread: Attempt) -> None:
        super().__init__(f"no answer within {seconds:.1f} s")
        self.thread = thread


def notify(transport: Transport, queue: str, job_id: int, *, seconds: float) -> None:
    """Notify in a thread, which is abandoned when it takes longer than `seconds`.

    A library may begin one read after another, each within its limit; only a thread can be abandoned
    then. Raises what the transport raises, and Late. After Late, and after an exception of a signal
    handler, the transport must not be used any more.
    """
    attempt = Attempt(lambda: transport.notify(queue, job_id), transport.close)
    try:
        attempt.start()
    except RuntimeError:  # no more threads, or the interpreter is about to end
        transport.notify(queue, job_id)
        return
    try:
        attempt.join(seconds)
    finally:
        still_running = attempt.abandon()
    if still_running:
        raise Late(seconds, attempt)
    if attempt.failed:
        raise attempt.error()


class Attempt:
    """One call in a thread, and a clean-up that runs after it if the caller no longer waits.

    It doesn't use `threading`, whose `start` waits until the new thread runs: that doubled the time.
    """

    def __init__(self, act: Callable[[], object], clean_up: Callable[[], object]) -> None:
        self._errors: list[Exception] = []
        self._act = act
        self._clean_up = clean_up
        self._lock = _thread.allocate_lock()
        self._ended = _thread.allocate_lock()
        self._over = self._abandoned = False

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if there can be no more."""
        self._ended.acquire()
        _thread.start_new_thread(self._run, ())

    def join(self, seconds: float) -> None:
        """Wait until the call has ended, at most `seconds`."""
        self._ended.acquire(timeout=max(0.0, seconds))

    def is_alive(self) -> bool:
        """Tell whether the call still goes on."""
        return not self._over

    def _run(self) -> None:
        try:
            self._act()
        except Exception as error:  # passed to the caller without the frames: they keep sockets open
            self._errors.append(error.with_traceback(None))
        finally:
            with self._lock:
                self._over = True
            self._ended.release()
        if self._abandoned:
            self._clean_up()

    @property
    def failed(self) -> bool:
        """Whether the call raised an error."""
        return bool(self._errors)

    def error(self) -> Exception:
        """Return the call's error, and forget it: its traceback would keep this thread alive."""
        return self._errors.pop()

    def abandon(self) -> bool:
        """Stop waiting for the call; returns whether it still goes on."""
        with self._lock:
            self._abandoned = not self._over
            return self._abandoned
