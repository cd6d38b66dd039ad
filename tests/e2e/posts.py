"""Posts and comments, as an app sends them."""

from __future__ import annotations

import secrets
from typing import Any

from tests.e2e.accounts import Person
from tests.e2e.phone import Answer, Phone


def form(picture: bytes, *, caption: str | None = None, boundary: str | None = None) -> tuple[bytes, str]:
    """Returns a multipart body and its content type, with the picture before the caption."""
    boundary = boundary or secrets.token_hex(8)
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a picture"\r\n\r\n'
    ).encode() + picture
    if caption is not None:
        field = f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="caption"\r\n\r\n{caption}'
        body += field.encode()
    return body + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


async def create(
    phone: Phone, author: Person, picture: bytes, *, caption: str | None = None, **headers: str
) -> Answer:
    body, content_type = form(picture, caption=caption)
    return await phone.ask(
        "POST", "/v1/posts", body=body, headers={**author.key, "Content-Type": content_type, **headers}
    )


async def comment(phone: Phone, author: Person, post: str, text: str, **headers: str) -> Answer:
    path = f"/v1/posts/{post}/comments"
    return await phone.ask("POST", path, json={"text": text}, headers={**author.key, **headers})


async def listed(phone: Phone, *, limit: int = 100) -> list[dict[str, Any]]:
    """Returns all posts, page by page."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = (await phone.ask("GET", f"/v1/posts?limit={limit}{cursor}")).ok()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"
