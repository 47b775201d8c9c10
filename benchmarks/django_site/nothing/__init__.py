"""A task that does nothing."""
