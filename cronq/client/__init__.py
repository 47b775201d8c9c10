"""Turn calls and options into jobs, enqueue them, and provide the task handles of a program."""
