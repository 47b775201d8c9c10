"""Notify people: a job failed for good or keeps failing, a queue is healthy again, a run happened or didn't."""
