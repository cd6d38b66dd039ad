"""Unknown fields and parameters are refused by name; internal paths accept them."""

from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import APIRouter, FastAPI, Query, Request
from kappi_chassis.http import create_app, hot_route
from kappi_chassis.http.unknown_fields import RequestBody
from kappi_testkit.asgi import Answer, AsgiClient
from starlette.responses import Response


class Order(RequestBody):
    title: str | None = None


async def listed(request: Request, limit: Annotated[int, Query(ge=1)] = 1) -> Response:
    return Response()


async def ordered(request: Request, body: Order) -> Response:
    return Response()


async def done(request: Request) -> Response:
    return Response(await request.body())


@pytest.fixture
def client() -> AsgiClient:
    app: FastAPI = create_app(title="test")
    router = APIRouter()
    router.add_api_route("/v1/things", listed, methods=["GET"])
    router.add_api_route("/v1/things", ordered, methods=["POST"])
    router.add_api_route("/v1/things/done", done, methods=["POST"])
    router.add_api_route("/internal/things", listed, methods=["GET"])
    app.include_router(router)
    limit = {"name": "limit", "in": "query"}
    for path in ("/v1/hot", "/internal/hot"):
        hot_route(app, path, done, method="GET", openapi={"parameters": [limit], "responses": {}})
    return AsgiClient(app)


def refused(answer: Answer) -> list[str]:
    assert (answer.status, answer.json["code"]) == (422, "unknown_field")
    assert {error["code"] for error in answer.json["errors"]} == {"unknown_field"}
    return [error["field"] for error in answer.json["errors"]]


@pytest.mark.parametrize("path", ["/v1/things", "/v1/hot"])
async def test_unknown_parameters_are_named(client: AsgiClient, path: str) -> None:
    assert (await client("GET", f"{path}?limit=2")).status == 200
    assert refused(await client("GET", f"{path}?limit=2&limt=3&curs%C3%B6r=&limt=4")) == ["limt", "cursör"]


@pytest.mark.parametrize("path", ["/internal/things", "/internal/hot"])
async def test_internal_paths_accept_fields_of_another_version(client: AsgiClient, path: str) -> None:
    assert (await client("GET", f"{path}?of_tomorrow=1")).status == 200


async def test_unknown_fields_of_a_body_are_named(client: AsgiClient) -> None:
    assert (await client("POST", "/v1/things", body={"title": "a"})).status == 200
    assert refused(await client("POST", "/v1/things", body={"titel": "a", "visiblity": 1})) == [
        "titel",
        "visiblity",
    ]


async def test_a_wrong_value_beside_an_unknown_field_is_named_too(client: AsgiClient) -> None:
    answer = (await client("POST", "/v1/things", body={"title": 7, "visiblity": "private"})).json
    assert answer["code"] == "unknown_field"
    assert {(error["field"], error["code"]) for error in answer["errors"]} == {
        ("title", "string_type"),
        ("visiblity", "unknown_field"),
    }


async def test_without_a_body_model_every_field_is_unknown(client: AsgiClient) -> None:
    assert (await client("POST", "/v1/things/done")).status == 200
    assert (await client("POST", "/v1/things/done", body={})).status == 200
    assert (await client("POST", "/v1/things/done", raw=b"no JSON")).body == b"no JSON"
    assert refused(await client("POST", "/v1/things/done", body={"code": "mine"})) == ["code"]
