"""The use cases of the galleries service, one per module. One use case is one transaction."""
