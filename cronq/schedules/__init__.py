"""Define schedules, which are rules in time and the jobs that they enqueue; declare, decide and fire them."""
