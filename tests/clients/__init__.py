"""What docs/clients.md promises to those who write clients."""
