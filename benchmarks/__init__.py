"""The figures cronq must reach, each measured beside its reference in the same run: `make bench`."""
