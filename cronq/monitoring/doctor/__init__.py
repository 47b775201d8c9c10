"""Check this installation, and say what to do about each problem."""
