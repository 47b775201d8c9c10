"""Start private servers for tests and benchmarks: on free ports, with data of their own, stopped after the last use."""
