"""From a caller's words to new rows, and the task handles a program holds."""
