"""Send wake-ups to workers in other processes and on other hosts, and receive them."""
