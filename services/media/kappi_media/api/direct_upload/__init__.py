"""Small files that come through the API itself: their bodies are read as they arrive, never kept whole."""
