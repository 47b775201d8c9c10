"""The names of the options that say what a job comes after; tables and files have the same ones."""

from __future__ import annotations

AFTER, AFTER_END, AFTER_FAILURE = "after", "after_end", "after_failure"
KINDS = (AFTER, AFTER_END, AFTER_FAILURE)
"""A job comes after another one: when that has finished, however it ended, or if it failed."""

MISSING = "after_missing"
AFTER_OPTIONS = (*KINDS, MISSING)

REF = "ref"
"""The name that a job has for the others of its call."""
