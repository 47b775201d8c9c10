"""Real jobs going through `cronq run`: `make demo`."""
