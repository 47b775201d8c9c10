"""Read cronq.toml and the environment into one checked Config."""
