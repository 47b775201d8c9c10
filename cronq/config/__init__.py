"""cronq.toml and the environment become one checked Config."""
