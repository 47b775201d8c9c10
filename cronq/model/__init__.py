"""Define values and pure rules without I/O: job, states, outcome, settlement, retry policy, selection."""
