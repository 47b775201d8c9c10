"""Rules in time, and the jobs that they enqueue: rule, definition, declaring and firing."""
