"""What the galleries service does, one module per use case. One use case is one transaction."""
