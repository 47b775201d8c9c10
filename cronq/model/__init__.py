"""Values and pure rules: job, states, outcome, settlement, retry policy, selection. No I/O."""
