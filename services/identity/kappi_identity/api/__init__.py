"""The public endpoints: parse, call one use case, answer."""
