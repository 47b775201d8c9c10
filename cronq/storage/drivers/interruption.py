"""Find the exception of a signal handler inside the error that a driver raised instead.

PyMySQL treats a TimeoutError from a handler, often an alarm's, as a lost connection. The statement
would be tried again, and the caller's time limit ignored.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType


def raise_interruption(error: BaseException) -> None:
    """Raise the exception of a signal handler if a driver raised this error because of it."""
    handlers = frozenset(_handlers())
    cause: BaseException | None = error
    while cause is not None:
        if _comes_from(cause, handlers):
            raise cause from None
        cause = cause.__cause__ or cause.__context__


def _handlers() -> Iterator[CodeType]:
    import signal  # here, not above: a run with nothing to do needs no signals

    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        for one in (handler, getattr(handler, "func", None), getattr(handler, "__call__", None)):  # noqa: B004 - its code
            code = getattr(one, "__code__", None)
            if code is not None:
                yield code


def _comes_from(error: BaseException, handlers: frozenset[CodeType]) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in handlers:
            return True
        trace = trace.tb_next
    return False
