"""The key by which limits count client addresses."""

from __future__ import annotations

from functools import lru_cache

from kappi_chassis.http.client_address import address_subject

limit_key = lru_cache(maxsize=16_384)(address_subject)
"""Returns the key of an address for limits (see `address_subject`)."""
