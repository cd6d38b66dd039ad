"""The whole of Kappi on one machine, and the `kappi` command."""
