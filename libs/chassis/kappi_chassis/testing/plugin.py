"""The pytest plugin: real servers for tests that need them."""
