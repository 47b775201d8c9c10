"""Measure the figures that cronq must reach, each beside its reference in the same run: `make bench`."""
