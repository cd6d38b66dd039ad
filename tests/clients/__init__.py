"""The promises of docs/clients.md to authors of clients."""
