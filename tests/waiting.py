"""Waiting for a condition, with a deadline: the only place where a test lets time pass."""

from __future__ import annotations

from daemons.waiting import wait_until

__all__ = ["wait_until"]
