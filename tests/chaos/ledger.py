"""What clients were told: the facts that must be true after all faults."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.e2e.phone import Gallery


@dataclass(frozen=True, slots=True)
class Sent:
    """An upload whose completion was acknowledged."""

    gallery_id: str
    size_bytes: int
    sha256: str


@dataclass(slots=True)
class Ledger:
    """Acknowledged writes.

    kept: galleries that nothing deletes. deleted: galleries whose deletion was acknowledged. due: the POSIX
    times between which other galleries expire: the service counts from a moment of the call that creates
    one. unsure: ids whose last call had no final answer, so both outcomes are right; an upload's is that of
    its gallery.
    """

    kept: dict[str, Gallery] = field(default_factory=dict)
    due: dict[str, tuple[float, float]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    items: dict[str, Sent] = field(default_factory=dict)
    deleted_items: set[str] = field(default_factory=set)
    comments: dict[str, str] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    last_tick_at: float = 0.0

    def live_items(self, gallery_id: str) -> dict[str, Sent]:
        """Returns the items that must be in a gallery, by id."""
        return {
            media_id: sent
            for media_id, sent in self.items.items()
            if sent.gallery_id == gallery_id and media_id not in self.deleted_items | self.unsure
        }
