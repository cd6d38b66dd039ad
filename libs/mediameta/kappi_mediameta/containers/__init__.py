"""Walkers of container formats, shared by header reading and location removal."""
