"""Copies of originals that do not tell where they were made, the picture itself untouched."""
