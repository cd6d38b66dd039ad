"""What the identity service does, one transaction each."""
