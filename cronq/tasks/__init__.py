"""Define tasks: registry, callables, parameters, argument types, serialisation."""
