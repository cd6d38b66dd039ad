"""Helpers of this service's tests for posting and commenting."""

from __future__ import annotations

from typing import Any

PICTURE = b"\x89PNG\r\n\x1a\n" + b"picture" * 10_000
POSTS = "/v1/posts"


def form(
    picture: bytes = PICTURE,
    *,
    caption: str | None = "Sunrise",
    boundary: str = "b",
    caption_first: bool = False,
) -> tuple[bytes, dict[str, str]]:
    """Returns a form's body and headers."""
    file = b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + picture
    said = b'Content-Disposition: form-data; name="caption"\r\n\r\n' + (caption or "").encode()
    parts = [file] if caption is None else [said, file] if caption_first else [file, said]
    edge = f"--{boundary}\r\n".encode()
    body = b"".join(edge + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()
    return body, {"content-type": f"multipart/form-data; boundary={boundary}"}


class Poster:
    """Calls the service's app on behalf of accounts."""

    def __init__(self, http: Any) -> None:
        self._http = http

    async def send(self, account: Any, *, key: str | None = None, **parts: Any) -> Any:
        """Send a post by form. Returns the whole answer."""
        body, headers = form(**parts)
        if key is not None:
            headers["idempotency-key"] = key
        return await self._http("POST", POSTS, raw=body, headers=headers, token=account.token)

    async def post(self, account: Any, **parts: Any) -> Any:
        answer = await self.send(account, **parts)
        assert answer.status == 201, answer.body
        return answer.json

    async def send_comment(self, account: Any, post_id: str, text: str, *, key: str | None = None) -> Any:
        headers = {} if key is None else {"idempotency-key": key}
        path = f"{POSTS}/{post_id}/comments"
        return await self._http("POST", path, body={"text": text}, headers=headers, token=account.token)

    async def comment(self, account: Any, post_id: str, text: str = "Nice") -> Any:
        answer = await self.send_comment(account, post_id, text)
        assert answer.status == 201, answer.body
        return answer.json

    async def delete_comment(self, account: Any, comment_id: str) -> int:
        answer = await self._http("DELETE", f"/v1/comments/{comment_id}", token=account.token)
        return int(answer.status)

    async def read(self, post_id: str) -> Any:
        return (await self._http("GET", f"{POSTS}/{post_id}")).json

    async def page(self, *, limit: int = 20, cursor: str | None = None) -> Any:
        answer = await self._http("GET", f"{POSTS}?limit={limit}" + (f"&cursor={cursor}" if cursor else ""))
        assert answer.status == 200, answer.body
        return answer.json

    async def walk(self, *, limit: int) -> list[Any]:
        """Returns the whole list, read page by page."""
        page = await self.page(limit=limit)
        found = list(page["items"])
        while page["next_cursor"] is not None:
            page = await self.page(limit=limit, cursor=page["next_cursor"])
            found += page["items"]
        return found
