"""Runs the whole of Kappi on one machine, and provides the `kappi` command."""
