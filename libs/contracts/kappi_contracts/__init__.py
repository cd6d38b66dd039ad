"""Contracts between the services: events, topics, tokens, object keys. No behaviour, no I/O."""
