"""Orders and their confirmation."""
