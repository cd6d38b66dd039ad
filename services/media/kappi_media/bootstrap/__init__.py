"""Builds the media service from its settings and dependencies."""
