"""Ask the kernel (Linux) for what Python has no function for; elsewhere nothing happens.

The runner imports this before it forks: in each child anew it would take longer than the fork.
"""

from __future__ import annotations

import sys

PDEATHSIG = 1
"""A signal that this process gets when the one that forked it dies."""

CHILD_SUBREAPER = 36
"""Whether this process becomes the parent of descendants whose own parent dies."""

if sys.platform.startswith("linux"):
    import _ctypes  # ctypes itself takes four times as long to import

    _prctl = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]

    def prctl(option: int, value: int) -> None:
        """Set an option of this process."""
        _ctypes.call_function(_prctl, (option, value))

else:

    def prctl(option: int, value: int) -> None:
        """Do nothing."""
