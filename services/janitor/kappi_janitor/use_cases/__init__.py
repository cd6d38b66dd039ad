"""What the service does, a module per use case."""
