"""The use cases of the janitor."""
