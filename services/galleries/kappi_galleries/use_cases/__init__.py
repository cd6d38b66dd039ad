"""The use cases of the galleries service. One use case is one transaction."""
