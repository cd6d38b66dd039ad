"""Serves rows to the comparisons of other services; the paths are not reachable from outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

import msgspec
from kappi_contracts.reconciliation import PATH
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kappi_chassis.http.responses import json_response
from kappi_chassis.problems import ValidationFailed
from kappi_chassis.reconcile.check import PAGE

ReadPage = Callable[[UUID, int], Awaitable[Sequence[msgspec.Struct]]]
"""Returns up to a number of rows behind an id."""

_encoder = msgspec.json.Encoder()


def page_routes(collections: Mapping[str, ReadPage]) -> list[Route]:
    """Returns the routes `GET /internal/reconcile/{name}?after=ID&limit=N`."""
    return [Route(f"{PATH}/{name}", _answer(read), methods=["GET"]) for name, read in collections.items()]


def _answer(read: ReadPage) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            after = UUID(request.query_params.get("after") or str(UUID(int=0)))
            limit = int(request.query_params.get("limit") or PAGE)
        except ValueError as error:
            raise ValidationFailed("Give an id and a number.") from error
        return json_response(_encoder.encode(await read(after, max(1, min(limit, PAGE)))))

    return answer
