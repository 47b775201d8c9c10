"""What a task is: registry, callables, parameters, argument types, serialisation."""
