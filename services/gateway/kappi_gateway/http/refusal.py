"""The answer to a credential that the galleries service refused."""

from __future__ import annotations

from kappi_chassis.observability import context

from kappi_gateway.errors import GrantRefused
from kappi_gateway.http.request import Request


async def send_refusal(request: Request, refused: GrantRefused) -> None:
    """Answers with the problem document of the galleries service."""
    body = refused.body_for(context.request_id.get())
    length = (b"content-length", str(len(body)).encode())
    await request.send(
        {
            "type": "http.response.start",
            "status": refused.status,
            "headers": [*refused.headers, length],
        }
    )
    await request.send({"type": "http.response.body", "body": body})
