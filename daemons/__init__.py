"""Private servers for tests and benchmarks: on free ports, with data of their own, gone when nobody needs them."""
