"""Header readers and location removal for photos and films. The library needs the standard library only."""
