"""Code that the tests and benchmarks of all packages share. No product package imports it, no image has it.

`plugin` is the pytest plugin; tests use its fixtures.
"""
