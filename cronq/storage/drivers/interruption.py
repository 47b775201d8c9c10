"""Finds what a signal handler raised in errors that a driver made of it.

A handler that raises a TimeoutError, as an alarm clock's often does, looks to PyMySQL like a network
that is gone. Taken for that, the statement would be tried again, and the caller's time limit ignored.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType


def raise_interruption(error: BaseException) -> None:
    """Raise what a signal handler raised, if that is why there is this error."""
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
