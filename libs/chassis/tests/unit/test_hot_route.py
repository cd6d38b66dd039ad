"""Routes outside FastAPI: named in metrics, documented by hand, and their failures are problem documents."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import Request
from kappi_chassis.http import create_app, hot_route
from kappi_chassis.http.edge import Receive, Scope, Send, route_of
from kappi_chassis.problems import NotFound
from kappi_testkit.asgi import AsgiClient
from starlette.responses import Response


async def thing(request: Request) -> Response:
    if request.path_params["id"] == "none":
        raise NotFound
    if request.path_params["id"] == "unsound":
        raise TimeoutError
    return Response("here")


def an_app() -> Any:
    app = create_app(title="test")
    hot_route(app, "/things/{id}", thing, method="GET", openapi={"summary": "A thing", "responses": {}})
    return app


def call(app: Any, path: str, method: str = "GET") -> tuple[int, str]:
    """Returns the status, and the route's name as in the metrics."""
    seen: list[Scope] = []

    async def observed(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await app(scope, receive, send)

    answer = asyncio.run(AsgiClient(observed)(method, path))
    return answer.status, route_of(seen[0])


@pytest.mark.parametrize(
    ("method", "path", "status", "route"),
    [
        ("GET", "/things/1", 200, "/things/{id}"),
        ("HEAD", "/things/1", 200, "/things/{id}"),
        ("GET", "/things/none", 404, "/things/{id}"),
        ("GET", "/things/unsound", 503, "/things/{id}"),
        ("GET", "/things/1/2", 404, "unmatched"),
        ("GET", "/nothing", 404, "unmatched"),
    ],
)
def test_metrics_name_the_route_by_its_template(method: str, path: str, status: int, route: str) -> None:
    assert call(an_app(), path, method) == (status, route)


def test_another_method_is_refused() -> None:
    assert call(an_app(), "/things/1", "POST")[0] == 405


def test_the_route_is_in_the_openapi_document() -> None:
    operation = an_app().openapi()["paths"]["/things/{id}"]["get"]
    assert operation["summary"] == "A thing"
    assert "default" in operation["responses"]
