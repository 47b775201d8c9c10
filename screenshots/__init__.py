"""Pictures of cronq on a real terminal, kept in docs/screenshots: `make screenshots`."""
