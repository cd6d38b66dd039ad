"""The actions of the media service, one module per use case."""
