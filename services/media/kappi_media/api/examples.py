"""The example bodies of the API reference."""

from __future__ import annotations

from typing import Any

from kappi_media.api.schemas import SHARED_GALLERY

_GALLERY = "0199e1a4-5b7c-7d10-8c41-5f2f0f3a9b01"
_MEDIA = "0199e1a6-02aa-7c33-9b52-0d9c4be1f7a2"
_UPLOAD = "0199e1a6-02aa-7c33-9b52-0d9c4be1f7a1"
_STORE = "https://store.example/kappi/galleries/" + _GALLERY + "/" + _MEDIA

_SIGNED_PUT: dict[str, Any] = {
    "url": f"{_STORE}/original?X-Amz-Expires=900&X-Amz-Signature=5d41",
    "http_method": "PUT",
    "headers": {"content-type": "image/jpeg", "if-none-match": "*"},
}
SIGNED_URL: dict[str, Any] = {
    "url": f"{_STORE}/original?X-Amz-Expires=900&X-Amz-Signature=9b1c",
    "expires_at": "2026-06-01T10:15:00Z",
    "expires_in": 900,
}
SIDECAR_WAITING: dict[str, Any] = {"status": "waiting"}
PENDING_PLAYBACK: dict[str, Any] = {"state": "making", "progress": 0.4}
BATCH_DECLARATION: dict[str, Any] = {
    "files": [
        {"filename": "DSC_0412.jpg", "size": 4183212, "content_type": "image/jpeg", "tags": ["alps"]},
        {"filename": "Gipfel.mp4", "size": 93811204, "content_type": "video/mp4", "caption": "At the top"},
    ]
}
_LARGE_UPLOAD = "0199e1a6-02aa-7c33-9b52-0d9c4be1f7a3"
_LARGE_MEDIA = "0199e1a6-02aa-7c33-9b52-0d9c4be1f7a4"
_PART: dict[str, Any] = {
    "number": 1,
    "url": (
        f"https://store.example/kappi/galleries/{_GALLERY}/{_LARGE_MEDIA}/original"
        "?uploadId=2~xyz&partNumber=1&X-Amz-Expires=900&X-Amz-Signature=c0de"
    ),
    "headers": {},
}
PART_NUMBERS: dict[str, Any] = {"numbers": [1]}
SIGNED_PARTS: dict[str, Any] = {"parts": [_PART], "expires_at": "2026-06-01T10:15:00Z", "expires_in": 900}
COMPLETION: dict[str, Any] = {"parts": [{"number": 1, "etag": "9b2cf535f27731c974343645a3985328"}]}
PROMISED_BATCH: dict[str, Any] = {
    "uploads": [
        {
            "id": _UPLOAD,
            "media_id": _MEDIA,
            "method": "single",
            "expires_at": "2026-06-01T10:15:00Z",
            "expires_in": 900,
            "single": _SIGNED_PUT,
        },
        {
            "id": _LARGE_UPLOAD,
            "media_id": _LARGE_MEDIA,
            "method": "multipart",
            "expires_at": "2026-06-01T10:15:00Z",
            "expires_in": 900,
            "multipart": {"part_size": 8388608, "part_count": 12, "parts": [_PART]},
        },
    ]
}
UPLOAD_STATUS: dict[str, Any] = {
    "id": _UPLOAD,
    "media_id": _MEDIA,
    "gallery_id": _GALLERY,
    "state": "pending",
    "method": "single",
    "filename": "DSC_0412.jpg",
    "content_type": "image/jpeg",
    "size": 4183212,
    "expires_at": "2026-06-01T10:15:00Z",
    "expires_in": 900,
    "created_at": "2026-06-01T10:00:00Z",
    "single": _SIGNED_PUT,
}
READY_ITEM: dict[str, Any] = {
    "id": _MEDIA,
    "gallery_id": _GALLERY,
    "filename": "DSC_0412.jpg",
    "content_type": "image/jpeg",
    "kind": "image",
    "status": "ready",
    "size": 4183212,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "width": 6000,
    "height": 4000,
    "duration_ms": None,
    "codec": "jpeg",
    "taken_at": "2026-05-30T04:41:12Z",
    "taken_offset_minutes": 120,
    "camera": {"make": "Canon", "model": "Canon EOS R6m2"},
    "exposure": {
        "lens": "RF24-105mm F4 L IS USM",
        "exposure_time_s": 0.008,
        "aperture": 5.6,
        "iso": 200,
        "focal_length_mm": 35.0,
        "focal_length_35mm": 35.0,
    },
    "rating": 4,
    "title": None,
    "projection": None,
    "motion": False,
    "gps": {"latitude": 45.9237, "longitude": 6.8694, "altitude": 1035.0},
    "live_partner_id": None,
    "raw_partner_id": None,
    "contributor": None,
    "caption": "Sunrise at the pass",
    "tags": ["alps"],
    "location": None,
    "attributes": {},
    "placeholder": "1QcSHQRnh493V4dIh4eXh1h4kJUI",
    "created_at": "2026-06-01T10:00:07Z",
    "original": SIGNED_URL,
    "sidecar": None,
    "renditions": {
        "400": {
            "url": f"{_STORE}/renditions/400.jpg?X-Amz-Expires=900&X-Amz-Signature=77aa",
            "expires_at": "2026-06-01T10:15:00Z",
            "expires_in": 900,
        }
    },
}
ITEM_CHANGES: dict[str, Any] = {"caption": "Sunrise at the pass", "tags": ["alps", "dawn"], "location": None}
GALLERY_PAGE: dict[str, Any] = {
    "gallery": {"id": _GALLERY, **SHARED_GALLERY},
    "items": [READY_ITEM],
    "next_cursor": None,
}
LINK_REQUEST: dict[str, Any] = {"valid_for": 3600, "max_downloads": 5}
_LINK: dict[str, Any] = {
    "id": "0199e1a9-71d0-7f05-8d6e-93b7a1c0e4d5",
    "expires_at": "2026-06-01T11:02:00Z",
    "expires_in": 3600,
    "valid_for": 3600,
    "max_views": None,
    "views_used": 0,
    "max_downloads": 5,
    "downloads_used": 0,
    "created_at": "2026-06-01T10:02:00Z",
}
NEW_LINK: dict[str, Any] = {
    **_LINK,
    "link": "https://kappi.example/v1/l/mB7qk2yW0xTnZ4rLhV9sJcQe1uXgD5aK",
}
LINK_PAGE: dict[str, Any] = {"items": [_LINK], "next_cursor": None}
LIBRARY_PAGE: dict[str, Any] = {"items": [READY_ITEM], "next_cursor": None}
MANAGED_ITEM_PAGE: dict[str, Any] = {"items": [READY_ITEM], "next_cursor": None}
ORDER_CHANGE: dict[str, Any] = {"ids": [_MEDIA, _LARGE_MEDIA], "before": None}
ORDER_CHANGED: dict[str, Any] = {"moved": [_MEDIA, _LARGE_MEDIA], "not_found": []}
BULK_CHANGE: dict[str, Any] = {"ids": [_MEDIA], "action": "tag", "tags": ["alps"]}
BULK_RESULTS: dict[str, Any] = {"results": [{"id": _MEDIA, "status": "done"}]}
TAG_PAGE: dict[str, Any] = {"items": [{"tag": "alps", "item_count": 214}], "next_cursor": None}
PLACE_PAGE: dict[str, Any] = {"items": [{"location": "Chamonix", "item_count": 87}], "next_cursor": None}
POSTED_FILE: dict[str, Any] = {
    "filename": "DSC_0412.jpg",
    "content_base64": "/9j/4AAQSkZJRgABAQAAAQABAAD/2w==",
    "caption": "Sunrise at the pass",
    "tags": ["alps", "2026"],
}
ACCESS_PAGE: dict[str, Any] = {
    "items": [{"hour": "2026-06-01T10:00:00Z", "kind": "view", "network": "203.0.113.0/24", "count": 3}],
    "next_cursor": None,
}
_AMOUNT: dict[str, Any] = {"item_count": 2, "size_bytes": 9_437_184}
_USAGE: dict[str, Any] = {**_AMOUNT, "kinds": {"image": _AMOUNT}, "types": {"image/jpeg": _AMOUNT}}
ACCOUNT_STATS: dict[str, Any] = {
    "from": "2026-05-03",
    "to": "2026-06-01",
    "totals": _USAGE,
    "days": [{"day": "2026-06-01", **_USAGE}],
    "library": _USAGE,
    "quota": {"used_bytes": 9_437_184, "reserved_bytes": 0, "limit_bytes": 16_106_127_360},
}
