"""The test kit of all packages: real servers, databases, child processes, waiting for outcomes.

`plugin` is the pytest plugin; tests use its fixtures. Product code never imports from here.
"""
