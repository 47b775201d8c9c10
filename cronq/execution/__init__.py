"""Claimed jobs run in child processes, their outcomes are settled, the dead are rescued."""
