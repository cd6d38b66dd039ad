"""Exchanges the credentials of clients for grants, and caches the grants (ADR-0003)."""
