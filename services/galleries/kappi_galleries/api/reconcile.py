"""Serves rows to the comparisons of other services. The paths are not reachable from outside."""

from __future__ import annotations

import msgspec
from fastapi import FastAPI
from kappi_chassis.http.responses import json_response
from kappi_chassis.problems import MalformedJson
from kappi_chassis.reconcile.routes import page_routes
from kappi_contracts.reconciliation import PATH, Named
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kappi_galleries.repository.reconcile import ReconcileQueries

_decoder = msgspec.json.Decoder(Named)
_encoder = msgspec.json.Encoder()


class ReconcileApi:
    """`GET /internal/reconcile/deadlines` returns galleries that expire; `POST /internal/reconcile/named`
    those of some items and posts that this service still names.
    """

    def __init__(self, queries: ReconcileQueries) -> None:
        self._queries = queries

    def mount(self, app: FastAPI) -> None:
        app.router.routes.extend(page_routes({"deadlines": self._queries.deadlines}))
        app.router.routes.append(Route(f"{PATH}/named", self._named, methods=["POST"]))

    async def _named(self, request: Request) -> Response:
        try:
            asked = _decoder.decode(await request.body())
        except msgspec.MsgspecError as error:
            raise MalformedJson("Give `items` and `post_ids`.") from error
        return json_response(_encoder.encode(await self._queries.named(asked)))
