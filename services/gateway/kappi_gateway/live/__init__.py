"""Streams of what happens to a gallery, for the page that shows it (Server-Sent Events)."""
