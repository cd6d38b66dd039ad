"""What the tests of every package stand on: real servers, databases, child processes, patience.

`plugin` is the pytest plugin; its fixtures are the way in. Product code never imports from here.
"""
