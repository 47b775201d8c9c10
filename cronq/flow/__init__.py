"""Decide when jobs may start: after the jobs and batches that they come after, and as their limits allow."""
