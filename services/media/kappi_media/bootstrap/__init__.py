"""Puts the media service together."""
