"""The public links of galleries and posts."""

from __future__ import annotations

from dataclasses import dataclass

from kappi_chassis.base_url import base_url, link_base_url

from kappi_galleries.domain.galleries import Gallery
from kappi_galleries.domain.posts import PostId


@dataclass(frozen=True, slots=True)
class Links:
    """Builds public links. public_url: the gateway's public address, for example `https://kappi.example`."""

    public_url: str

    def to(self, gallery: Gallery) -> str | None:
        """Returns the address of the gallery's page; None while its code opens nothing."""
        if gallery.shown_code is None:
            return None
        return f"{link_base_url(self.public_url)}/g/{gallery.shown_code}"

    def image_of(self, post_id: PostId) -> str:
        """Returns the public address of a post's picture, which works as long as the post exists."""
        return f"{base_url(self.public_url)}/v1/posts/{post_id}/image"
