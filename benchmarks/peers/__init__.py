"""One module for each queue, with a class `Queue`."""
