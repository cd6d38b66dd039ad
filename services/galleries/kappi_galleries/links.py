"""The links people share."""

from __future__ import annotations

from dataclasses import dataclass

from kappi_galleries.domain import Gallery


@dataclass(frozen=True, slots=True)
class Links:
    """public_url: where people reach the gateway, for example `https://kappi.example`."""

    public_url: str

    def to(self, gallery: Gallery) -> str | None:
        """The gallery's page; None while its code opens nothing."""
        if gallery.shown_code is None:
            return None
        return f"{self.public_url.rstrip('/')}/g/{gallery.shown_code}"
