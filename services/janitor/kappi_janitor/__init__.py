"""The janitor: turns ticks into expiry claims and deletions into purges of the object store (ADR-0007)."""
