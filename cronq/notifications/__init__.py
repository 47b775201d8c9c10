"""Telling people: a job needs somebody, a queue is well again, a run did or did not happen."""
