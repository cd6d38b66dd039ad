"""The HTTP API from a client's side: what `kappi share` and `kappi get` are made of."""
