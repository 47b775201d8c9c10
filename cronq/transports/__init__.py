"""Saying "look now" across processes and hosts, and hearing it."""
