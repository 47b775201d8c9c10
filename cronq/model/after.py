"""Define the names of the options that say what a job comes after; tables and files contain the same names."""

from __future__ import annotations

AFTER, AFTER_END, AFTER_FAILURE = "after", "after_end", "after_failure"
KINDS = (AFTER, AFTER_END, AFTER_FAILURE)
"""A job may start when the other one, in this order, has finished, has ended in any way, or has failed."""

MISSING = "after_missing"
AFTER_OPTIONS = (*KINDS, MISSING)

REF = "ref"
"""The option that names a job, so that other jobs of the same call can come after it."""
