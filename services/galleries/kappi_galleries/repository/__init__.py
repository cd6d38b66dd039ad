"""All SQL of the galleries service."""
