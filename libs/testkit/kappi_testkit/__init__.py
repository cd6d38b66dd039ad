"""What the tests and benchmarks of all packages share. No product package imports it, and no image has it.

`plugin` is the pytest plugin; tests use its fixtures.
"""
