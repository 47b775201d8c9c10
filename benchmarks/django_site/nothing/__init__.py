"""An app with a task that does nothing."""
