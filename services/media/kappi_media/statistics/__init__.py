"""Counting accesses without slowing them: in memory, flushed every few seconds (ADR-0024)."""
