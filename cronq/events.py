"""What cronq tells the log: one logger, one line for each event."""

from __future__ import annotations

import logging

log = logging.getLogger("cronq")
log.addHandler(logging.NullHandler())
