"""Telling people: a job failed for good or keeps failing, a queue is healthy again, a run did or did not happen."""
