"""Builds the public views of stored items, uploads and galleries."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from kappi_chassis.base_url import link_base_url
from kappi_chassis.time_left import seconds_left
from kappi_contracts.grants import PublicGallery
from msgspec import UNSET

from kappi_media.api.schemas import (
    CameraView,
    ExposureView,
    ItemContributor,
    ItemView,
    PlaceView,
    SharedGallery,
    UploadStatus,
)
from kappi_media.domain.media import UNMADE, Item, ServedVariant
from kappi_media.domain.tiers import TierRules
from kappi_media.domain.upload_plan import SidecarView, SignedUrl
from kappi_media.signed_urls import DownloadUrls
from kappi_media.use_cases.uploads import UploadInProgress

_ORIGINAL: Final = ServedVariant.ORIGINAL
_AS_UPLOADED = frozenset({_ORIGINAL, ServedVariant.UNCHANGED})
_AS_GRANTED: Final = tuple(
    name
    for name in SharedGallery.__struct_fields__
    if name in PublicGallery.__struct_fields__ and name != "url"
)
_granted = attrgetter(*_AS_GRANTED)


def present_item(
    item: Item, urls: DownloadUrls, *, as_of: datetime, rules: TierRules, variant: ServedVariant = _ORIGINAL
) -> ItemView:
    """Returns the view of an item for callers that may upload to its gallery, within the rules of its tier.

    as_of: from `urls.as_of()`. variant: what is served for its original.
    """
    gives_original = rules.original_access and urls.may_go_to_its_uploader(item.status)
    return ItemView(
        id=item.id,
        gallery_id=item.gallery_id,
        filename=item.filename,
        content_type=item.content_type,
        kind=item.kind,
        status=item.status,
        size=item.size_bytes,
        sha256=_sha256(item, variant=variant),
        width=item.width,
        height=item.height,
        duration_ms=item.duration_ms,
        codec=item.codec,
        taken_at=item.taken_at,
        taken_offset_minutes=item.taken_offset_minutes,
        camera=CameraView(**item.camera) if item.camera is not None else None,
        **_details(item, variant=variant),
        gps=_place(item, variant=variant) if gives_original else None,
        live_partner_id=item.live_partner_id,
        raw_partner_id=item.raw_partner_id,
        contributor=_contributor(item),
        **_words(item, variant=variant),
        location=item.location,
        attributes=item.attributes,
        placeholder=b64encode(item.placeholder).decode() if item.placeholder is not None else None,
        created_at=item.created_at,
        original=_original(item, urls, as_of=as_of, variant=variant) if gives_original else None,
        sidecar=_sidecar(item, urls, as_of=as_of, variant=variant) if gives_original else None,
        renditions=_renditions(item, urls, as_of=as_of, rules=rules),
        rejection_reason=item.rejection_reason or UNSET,
    )


def present_to_viewer(
    item: Item, urls: DownloadUrls, *, as_of: datetime, rules: TierRules, variant: ServedVariant = _ORIGINAL
) -> ItemView:
    """As `present_item`, for viewers: without the original of an item that is not checked yet.

    The item is not shown as ready before the file that is served for its original exists.
    """
    if item.status != "ready":
        variant = ServedVariant.NOTHING_YET
    elif variant is ServedVariant.NOTHING_YET:
        item = item._replace(status="processing")
    return present_item(item, urls, as_of=as_of, rules=rules, variant=variant)


def present_upload(seen: UploadInProgress) -> UploadStatus:
    upload = seen.upload
    is_over = upload.state == "pending" and not upload.is_open(seen.seen_at)
    return UploadStatus(
        id=upload.id,
        media_id=upload.media_id,
        gallery_id=upload.gallery_id,
        state="expired" if is_over else upload.state,
        method="single" if upload.part_size_bytes is None else "multipart",
        filename=upload.filename,
        content_type=upload.content_type,
        size=upload.size_bytes,
        expires_at=seen.expires_at,
        expires_in=seconds_left(seen.expires_at, now=seen.seen_at),
        created_at=upload.created_at,
        single=seen.single or UNSET,
        multipart=seen.multipart or UNSET,
        rejection_reason=upload.rejection_reason or UNSET,
    )


def _renditions(item: Item, urls: DownloadUrls, *, as_of: datetime, rules: TierRules) -> dict[str, SignedUrl]:
    """Returns the stored renditions that the rules allow, and, for a ready item, URLs of the other allowed
    sizes.
    """
    listed = {size: urls.rendition(item, size, as_of=as_of) for size in item.renditions if rules.allows(size)}
    if item.status == "ready":
        for size in rules.sizes.difference(listed):
            listed[size] = urls.rendition_on_request(item, size, as_of=as_of)
    return listed


def _sha256(item: Item, *, variant: ServedVariant) -> str | None:
    """Returns the digest of the file that is served; None when that is not the original."""
    return item.sha256.hex() if item.sha256 is not None and variant in _AS_UPLOADED else None


def _contributor(item: Item) -> ItemContributor | None:
    if item.contributor_id is None:
        return None
    return ItemContributor(id=item.contributor_id, name=item.contributor_name)


def _details(item: Item, *, variant: ServedVariant) -> dict[str, Any]:
    """Returns the fields of the details in the file. A title may name the place, as a caption may."""
    details = item.details or {}
    exposure = details.get("exposure")
    return {
        "exposure": ExposureView(**exposure) if exposure else None,
        "rating": details.get("rating"),
        "title": details.get("title") if variant is _ORIGINAL else None,
        "projection": details.get("projection"),
        "motion": item.film is not None,
    }


def _place(item: Item, *, variant: ServedVariant) -> PlaceView | None:
    """Returns the place, which a caller that may not have the original must not learn from the view."""
    return PlaceView(**item.gps) if item.gps is not None and variant is _ORIGINAL else None


def _words(item: Item, *, variant: ServedVariant) -> dict[str, Any]:
    """Returns the fields of caption and tags. Those read from the file may name the place, so a variant
    without the place leaves them out.
    """
    told = item.told_by_file
    if told is None or variant is _ORIGINAL:
        return {"caption": item.caption, "tags": item.tags}
    caption = None if told.get("caption") else item.caption
    return {"caption": caption, "tags": [tag for tag in item.tags if tag not in told.get("tags", ())]}


def _original(item: Item, urls: DownloadUrls, *, as_of: datetime, variant: ServedVariant) -> SignedUrl | None:
    if variant in UNMADE:
        return None
    sign = urls.original if variant in _AS_UPLOADED else urls.location_free
    return sign(item, as_of=as_of)


def _sidecar(
    item: Item, urls: DownloadUrls, *, as_of: datetime, variant: ServedVariant
) -> SidecarView | None:
    """Returns the sidecar. It may name the place, so only what is served as uploaded has it."""
    if item.sidecar_filename is None or variant is not _ORIGINAL:
        return None
    signed = urls.sidecar(item, as_of=as_of)
    if signed is None:
        return None
    return SidecarView(
        filename=item.sidecar_filename,
        size=item.sidecar_bytes,
        url=signed.url,
        expires_at=signed.expires_at,
        expires_in=signed.expires_in,
    )


def _link_to(gallery: PublicGallery) -> str | None:
    """Returns the link in the grant with the base URL of this request, because the gateway may have obtained
    the grant for a client that used another address.
    """
    if gallery.url is None:
        return None
    page = f"/g/{gallery.code}"
    return link_base_url(gallery.url.removesuffix(page)) + page


def present_gallery(gallery: PublicGallery, *, item_count: int, kept_until: datetime) -> SharedGallery:
    """Returns the view of a gallery. item_count: of the items that are shown. kept_until: when a cached
    answer is served for the last time.
    """
    expires_at = gallery.expires_at
    return SharedGallery(
        url=_link_to(gallery),
        expires_in=None if expires_at is None else seconds_left(expires_at, now=kept_until),
        item_count=item_count,
        **dict(zip(_AS_GRANTED, _granted(gallery), strict=True)),
    )
