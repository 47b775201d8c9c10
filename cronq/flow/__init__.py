"""What must happen before a job may start: other jobs that have to end first."""
