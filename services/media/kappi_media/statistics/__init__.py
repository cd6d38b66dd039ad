"""Statistics: accesses are counted and shown without identifying a viewer."""
