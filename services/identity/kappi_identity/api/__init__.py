"""The public endpoints: parse the request, call one use case, answer."""
