"""Call prctl(2) of Linux, for which Python has no function; elsewhere nothing happens.

The pool imports this before it forks: to import it in each child would take longer than the fork.
"""

from __future__ import annotations

import signal
import sys

_PDEATHSIG = 1
_CHILD_SUBREAPER = 36

if sys.platform.startswith("linux"):
    import _ctypes  # ctypes itself takes four times as long to import

    _function = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]

    def _prctl(option: int, value: int) -> None:
        _ctypes.call_function(_function, (option, value))

else:

    def _prctl(option: int, value: int) -> None:
        pass


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that forked it dies."""
    _prctl(_PDEATHSIG, int(signal.SIGKILL))


def adopt_orphans() -> None:
    """Have the kernel make this process the parent of descendants whose own parent dies."""
    _prctl(_CHILD_SUBREAPER, 1)
