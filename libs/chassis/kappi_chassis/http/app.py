"""The FastAPI application of a service, with the project's problem documents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route, compile_path

from kappi_chassis.db.failures import data_is_unstorable, database_is_away
from kappi_chassis.http.edge import App, FailureGuard, Receive, Scope, Send, safe_headers
from kappi_chassis.http.responses import JsonResponse
from kappi_chassis.http.unknown_fields import (
    INTERNAL,
    SHOWN_ERRORS,
    refuse_unknown,
    refuse_unknown_parameters,
    shown,
    unknown_field,
)
from kappi_chassis.observability import context
from kappi_chassis.problems import (
    PROBLEM_JSON,
    BadRequest,
    Conflict,
    FieldError,
    Forbidden,
    Gone,
    InsufficientStorage,
    MalformedJson,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    Problem,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnknownField,
    Unprocessable,
    UnsupportedMediaType,
    ValidationFailed,
    problem_body,
)
from kappi_chassis.storage import StorageFull, StorageUnavailable

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457 problem document. Switch on `code`, show `detail` to developers.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "description": "One rejected field. `field`: a dotted path into the body, or a parameter.",
                "required": ["field", "code", "message"],
                "properties": {
                    "field": {"type": "string"},
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                },
            },
        },
    },
}
_BY_STATUS: dict[int, type[Problem]] = {
    400: BadRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    410: Gone,
    413: PayloadTooLarge,
    415: UnsupportedMediaType,
    422: Unprocessable,
    429: TooManyRequests,
    503: Unavailable,
    507: InsufficientStorage,
}
Endpoint = Callable[[Request], Awaitable[Response]]


class ServiceApp(FastAPI):
    """hot: routes answered before FastAPI's middleware, router and dependencies (see `hot_route`)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hot: list[HotRoute] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for route in self.hot:
                if route.takes(scope):
                    await route.answer(scope, receive, send)
                    return
        await super().__call__(scope, receive, send)


class HotRoute:
    """A route outside FastAPI.

    path: as FastAPI writes it; its parameters are path segments. known: the parameters of its query; None if
    other parameters are ignored.
    """

    def __init__(self, path: str, endpoint: Endpoint, *, method: str, known: Collection[str] | None) -> None:
        self.answer: App = FailureGuard(self._answer, meaning=meaning_of)
        self._path = path
        self._match = compile_path(path)[0].match
        self._endpoint = endpoint
        self._method = method
        self._known = known

    def takes(self, scope: Scope) -> bool:
        if scope["method"] != self._method or (found := self._match(scope["path"])) is None:
            return False
        scope["path_params"] = found.groupdict()
        return True

    async def named(self, request: Request) -> Response:
        request.scope["kappi.route"] = self._path
        if self._known is not None:
            refuse_unknown_parameters(request.scope["query_string"], known=self._known)
        return await self._endpoint(request)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.named(Request(scope, receive, send))
        await response(scope, receive, send)


def create_app(*, title: str, description: str = "") -> ServiceApp:
    """Returns a FastAPI app that answers errors with problem documents. The gateway serves its docs."""
    app = ServiceApp(
        title=title,
        description=description,
        version="1.0.0",
        docs_url=None,
        redoc_url=None,
        openapi_url="/internal/openapi.json",
        default_response_class=JsonResponse,
        responses={"default": problem_response("A problem document")},
        dependencies=[Depends(refuse_unknown)],
    )
    # It is inside Starlette's own handler, which would answer in plain text first.
    app.add_middleware(FailureGuard, meaning=meaning_of)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_exception)
    return app


PROBLEM_TITLES: Final = "x-problem-titles"
"""Extension of a response in a service's document: the titles of its problems by code."""


def problem_response(description: str) -> dict[str, Any]:
    """Returns an OpenAPI response that is a problem document."""
    return {"description": description, "content": {PROBLEM_JSON: {"schema": PROBLEM_SCHEMA}}}


def problems(*kinds: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Returns the OpenAPI `responses` of an operation's expected failures, grouped by status."""
    by_status: dict[int | str, dict[str, str]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, {})[kind.code] = kind.title
    return {status: listed_problems(titles) for status, titles in by_status.items()}


def listed_problems(titles: Mapping[str, str]) -> dict[str, Any]:
    """Returns an OpenAPI response that is one of these problems. titles: by code."""
    description = "; ".join(f"`{code}`: {title}" for code, title in titles.items())
    return {**problem_response(description), PROBLEM_TITLES: dict(titles)}


def hot_route(app: FastAPI, path: str, endpoint: Endpoint, *, method: str, openapi: dict[str, Any]) -> None:
    """Adds a route that FastAPI neither parses nor dispatches, documented by hand.

    openapi: the OpenAPI operation object. It is for the few paths whose cost is mostly the framework's.
    """
    assert isinstance(app, ServiceApp)
    known = {given["name"] for given in openapi.get("parameters", ()) if given["in"] == "query"}
    route = HotRoute(path, endpoint, method=method, known=None if path.startswith(INTERNAL) else known)
    app.hot.append(route)
    app.router.routes.append(Route(path, route.named, methods=[method]))  # for HEAD, and for what 405 allows
    original = app.openapi

    def with_route() -> dict[str, Any]:
        document = original()
        operation = {
            **openapi,
            "responses": {**openapi["responses"], "default": problem_response("A problem document")},
        }
        document["paths"].setdefault(path, {})[method.lower()] = operation
        return document

    app.openapi = with_route  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _answer(problem: Problem, *, status: int | None = None) -> Response:
    return Response(
        problem_body(problem, context.request_id.get(), status=status),
        status_code=status or problem.status,
        headers=safe_headers(problem),
        media_type=PROBLEM_JSON,
    )


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _answer(error)


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return _answer(MalformedJson("The body could not be parsed as JSON."))
    # The client's own input is returned here: field names in `loc`, one error per item of a long list.
    fields = tuple(_fault(item) for item in found[:SHOWN_ERRORS])
    names = ", ".join(sorted({field.field for field in fields if field.field})) or "the body"
    unknown = any(field.code == UnknownField.code for field in fields)
    return _answer(
        (UnknownField if unknown else ValidationFailed)(f"Look at: {shown(names)}.", errors=fields)
    )


def _fault(item: Mapping[str, Any]) -> FieldError:
    path = ".".join(str(part) for part in item["loc"][1:])  # after "body", "query", ...
    if item["type"] == "extra_forbidden":
        return unknown_field(path)
    return FieldError(field=shown(path), code=item["type"], message=shown(item["msg"]))


def meaning_of(error: Exception) -> Problem | None:
    """Returns the problem for a database's refusal or an unavailable dependency; None for any other error."""
    if data_is_unstorable(error):
        return ValidationFailed("A value holds a character, or is a number, that cannot be stored.")
    if isinstance(error, StorageFull):
        return InsufficientStorage(retry_after_s=60)
    if database_is_away(error) or isinstance(error, (StorageUnavailable, ConnectionError, TimeoutError)):
        return Unavailable("Try again in a moment.", retry_after_s=1)
    return None


async def _on_http_exception(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, (UnicodeDecodeError, RecursionError)):
        # FastAPI's own message for a body that is not UTF-8, or nested too deeply.
        return _answer(MalformedJson("The body could not be parsed as JSON."))
    kind = _BY_STATUS.get(error.status_code, Problem if error.status_code >= 500 else BadRequest)
    problem = kind(headers=dict(error.headers or {}))
    return _answer(problem, status=error.status_code)
