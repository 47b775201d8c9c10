"""Measure and explain the state of a queue: health, metrics, why, throughput, doctor."""
