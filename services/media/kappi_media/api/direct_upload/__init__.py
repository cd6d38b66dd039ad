"""Reads the bodies of small files that are sent through the API, as they arrive and never as a whole."""
