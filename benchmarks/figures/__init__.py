"""Measure the figures, with a module for each kind. Each `run` takes the number of rounds and returns `Figure`s."""
