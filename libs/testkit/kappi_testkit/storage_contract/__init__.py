"""The tests that every object store has to pass."""
