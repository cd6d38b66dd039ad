"""The answers of the calls about statistics."""

from __future__ import annotations

import msgspec

from kappi_media.domain.upload_plan import Instant
from kappi_media.domain.usage import AccountStats


class AccessView(msgspec.Struct, frozen=True, kw_only=True):
    """Accesses of one kind from one network in one hour.

    hour: its beginning, UTC. kind: `view`, `item_view`, `preview`, `download`, `archive`, `link`; an open
    set. network: a /24 of IPv4 or a /48 of IPv6; `other` for networks beyond the first two hundred of an
    hour, `unknown` without an address. count: rounded up to a multiple of five.
    """

    hour: Instant
    kind: str
    network: str
    count: int


class AccessPage(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of the log, the newest first. next_cursor: null on the last page."""

    items: list[AccessView]
    next_cursor: str | None


__all__ = ["AccessPage", "AccessView", "AccountStats"]
