"""Walkers of container formats, shared by header reading and by location removal."""
