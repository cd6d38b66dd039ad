"""The HTTP side: each handler parses a request, calls one use case and builds the answer."""
