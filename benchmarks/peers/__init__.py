"""The measured queues: one module for each, with a class `Queue`."""
