"""Kappi side by side with other programs, in interleaved rounds: `make bench-peers`."""
