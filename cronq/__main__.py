"""Run the command `cronq` as `python -m cronq`."""

from __future__ import annotations

import sys

from cronq.cli import script

if __name__ == "__main__":
    sys.exit(script())
