"""Unknown fields and parameters are refused by name; internal paths accept them."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, NamedTuple

import pytest
from fastapi import APIRouter, FastAPI, Query, Request
from kappi_chassis.http import create_app, hot_route
from kappi_chassis.http.unknown_fields import RequestBody
from starlette.responses import Response


class Order(RequestBody):
    title: str | None = None


async def listed(request: Request, limit: Annotated[int, Query(ge=1)] = 1) -> Response:
    return Response()


async def ordered(request: Request, body: Order) -> Response:
    return Response()


async def done(request: Request) -> Response:
    return Response(await request.body())


class Answer(NamedTuple):
    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def ask(self, method: str, path: str, body: Any = b"") -> Answer:
        """Sends a request. body: raw bytes, or a value to send as JSON."""
        sent: list[Any] = []
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        where, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": where,
            "raw_path": where.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "scheme": "http",
            "headers": [(b"content-type", b"application/json")],
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 1),
        }

        async def receive() -> Any:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self._app(scope, receive, send))
        return Answer(sent[0]["status"], sent[1]["body"])


@pytest.fixture
def client() -> Client:
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
    return Client(app)


def refused(answer: Answer) -> list[str]:
    assert (answer.status, answer.json()["code"]) == (422, "unknown_field")
    assert {error["code"] for error in answer.json()["errors"]} == {"unknown_field"}
    return [error["field"] for error in answer.json()["errors"]]


@pytest.mark.parametrize("path", ["/v1/things", "/v1/hot"])
def test_unknown_parameters_are_named(client: Client, path: str) -> None:
    assert client.ask("GET", f"{path}?limit=2").status == 200
    assert refused(client.ask("GET", f"{path}?limit=2&limt=3&curs%C3%B6r=&limt=4")) == ["limt", "cursör"]


@pytest.mark.parametrize("path", ["/internal/things", "/internal/hot"])
def test_internal_paths_accept_fields_of_another_version(client: Client, path: str) -> None:
    assert client.ask("GET", f"{path}?of_tomorrow=1").status == 200


def test_unknown_fields_of_a_body_are_named(client: Client) -> None:
    assert client.ask("POST", "/v1/things", {"title": "a"}).status == 200
    assert refused(client.ask("POST", "/v1/things", {"titel": "a", "visiblity": 1})) == ["titel", "visiblity"]


def test_a_wrong_value_beside_an_unknown_field_is_named_too(client: Client) -> None:
    answer = client.ask("POST", "/v1/things", {"title": 7, "visiblity": "private"}).json()
    assert answer["code"] == "unknown_field"
    assert {(error["field"], error["code"]) for error in answer["errors"]} == {
        ("title", "string_type"),
        ("visiblity", "unknown_field"),
    }


def test_without_a_body_model_every_field_is_unknown(client: Client) -> None:
    assert client.ask("POST", "/v1/things/done").status == 200
    assert client.ask("POST", "/v1/things/done", {}).status == 200
    assert client.ask("POST", "/v1/things/done", b"no JSON").body == b"no JSON"
    assert refused(client.ask("POST", "/v1/things/done", {"code": "mine"})) == ["code"]
