"""The form bodies of the token endpoint, and its errors (RFC 6749)."""

from __future__ import annotations

from urllib.parse import parse_qsl

import msgspec
from kappi_chassis.http.documents import NO_STORE
from kappi_chassis.observability import context
from kappi_chassis.problems import PROBLEM_JSON, problem_body
from starlette.requests import Request
from starlette.responses import Response

from kappi_identity.errors import OAuthFailure

FORM = "application/x-www-form-urlencoded"
MAX_BODY_BYTES = 16 * 1024
MAX_FIELDS = 20


async def read_form(request: Request) -> dict[str, str]:
    """Returns the parameters; empty ones count as not sent (RFC 6749, 3.2). Raises OAuthFailure."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise OAuthFailure(f"Send {FORM}.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise OAuthFailure(f"The body has more than {MAX_BODY_BYTES} bytes.")
    try:
        pairs = parse_qsl(body.decode(), errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise OAuthFailure("The body is no form.") from error
    form = dict(pairs)
    if len(form) < len(pairs):
        raise OAuthFailure("A parameter is there twice.")
    return form


def required(form: dict[str, str], name: str) -> str:
    """Returns the parameter's value. Raises OAuthFailure."""
    value = form.get(name)
    if value is None:
        raise OAuthFailure(f"`{name}` is missing.")
    return value


async def on_oauth_failure(_: Request, error: Exception) -> Response:
    """Returns a problem document that also has the members of RFC 6749, 5.2."""
    assert isinstance(error, OAuthFailure)
    document = msgspec.json.decode(problem_body(error, context.request_id.get()))
    document |= {"error": error.error, "error_description": error.detail}
    return Response(
        msgspec.json.encode(document),
        status_code=error.status,
        headers={**error.headers, **NO_STORE},
        media_type=PROBLEM_JSON,
    )
