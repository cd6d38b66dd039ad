"""What the services say to each other: events, topics, grants. No behaviour, no I/O."""
