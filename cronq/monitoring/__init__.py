"""What tells whether a queue is well: health, metrics, why, throughput, doctor."""
