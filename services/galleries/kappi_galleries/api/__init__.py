"""The HTTP side: parse, call one use case, answer."""
