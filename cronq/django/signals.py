"""Send the signals of Django's tasks; an error in a receiver is a warning."""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger("cronq.django")


def send(signal: Any, sender: type, result: Any) -> list[str]:
    """Send a signal about a result; returns a sentence for each receiver that raised an error, and logs it."""
    said = []
    for receiver, answer in signal.send_robust(sender, task_result=result):
        if isinstance(answer, Exception):
            name = getattr(receiver, "__qualname__", repr(receiver))
            said.append(f"{name}: {type(answer).__name__}: {answer}")
            log.warning("task %s: receiver %s", result.id, said[-1], exc_info=answer)
    return said
