"""The HTTP side of the service: parse the request, call one use case, answer."""
