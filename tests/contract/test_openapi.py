"""The promises of docs/openapi.json. tests/e2e/test_surface.py compares it with the running stack."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from kappi_gateway.routes import ROUTES, Credential, Limit, Route

from tests.e2e.refusals import REFUSALS, Refusal

COMMITTED: Mapping[str, Any] = json.loads(
    (Path(__file__).parents[2] / "docs" / "openapi.json").read_text(encoding="utf-8")
)


def resolved(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the document with each answer in place of its reference."""
    whole: dict[str, Any] = copy.deepcopy(dict(document))
    for operations in whole["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if "$ref" in answer:
                    name = answer["$ref"].removeprefix("#/components/responses/")
                    operation["responses"][status] = whole["components"]["responses"][name]
    return whole


DOCUMENT = resolved(COMMITTED)
DOCUMENTED = {
    f"{method.upper()} {path}" for path, operations in DOCUMENT["paths"].items() for method in operations
}
_by_route = pytest.mark.parametrize(
    "route",
    ROUTES,
    ids=lambda route: f"{route.method} {route.template}",
)


def _operation(operation: str) -> Mapping[str, Any]:
    method, path = operation.lower().split(" ", 1)
    found: Mapping[str, Any] = DOCUMENT["paths"][path][method]
    return found


def documented_codes(name: str, status: int) -> set[str]:
    """Returns the problem codes that an operation documents for that status. name: `GET /v1/me`."""
    return _codes(_operation(name), status)


def _codes(operation: Mapping[str, Any], status: int) -> set[str]:
    return set(operation["responses"].get(str(status), {}).get("x-problem-codes", ()))


def test_every_route_and_its_refusals_are_documented() -> None:
    assert {f"{route.method} {route.template}" for route in ROUTES} == DOCUMENTED
    assert {refusal.operation for refusal in REFUSALS if not refusal.operation.endswith(" ")} <= DOCUMENTED


@_by_route
def test_an_operation_has_a_description_and_its_credentials(route: Route) -> None:
    operation = _operation(f"{route.method} {route.template}")
    assert operation["summary"]
    assert operation["operationId"]
    assert operation["tags"]
    successes = [status for status in operation["responses"] if status[0] in "23"]
    assert successes
    named = {name for schemes in operation["security"] for name in schemes}
    if route.credential is Credential.MANAGER:
        assert "GalleryKey" in named
        assert "GalleryCode" not in named
    if route.credential is Credential.UPLOADER:
        assert named >= {"GalleryKey", "ContributorKey"}
    if route.shows_items:
        assert "ContributorKey" in named
    if route.credential is Credential.ACCOUNT:
        assert named == {"AccessToken", "OAuth2"}
    if route.credential is Credential.VIEWER:
        assert named >= {"GalleryKey", "ContributorKey", "GalleryCode"}
    if "{id}" in route.template or "{code}" in route.template:
        assert {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
    assert "x-kappi-grant" not in json.dumps(operation).lower()


@_by_route
def test_a_route_documents_the_answers_of_the_gateway_itself(route: Route) -> None:
    operation = _operation(f"{route.method} {route.template}")
    assert _codes(operation, 503) >= {"upstream_unavailable", "overloaded"}
    assert _codes(operation, 504) >= {"upstream_timeout"}
    if route.accepts_body:
        assert "payload_too_large" in _codes(operation, 413)
    if route.limit is Limit.CREATION:
        assert "too_many_galleries" in _codes(operation, 429)
    if route.credential in {Credential.CODE_IN_PATH, Credential.CODE_WITHOUT_PASSWORD, Credential.VIEWER}:
        assert "too_many_guesses" in _codes(operation, 429)
    # Grants are between the gateway and the services: a client cannot act on their errors.
    told = json.dumps(operation["responses"])
    assert "grant_invalid" not in told
    assert "right_missing" not in told


@pytest.mark.parametrize(
    "refusal",
    [refusal for refusal in REFUSALS if not refusal.operation.endswith(" ")],
    ids=lambda refusal: refusal.name,
)
def test_every_known_refusal_is_documented(refusal: Refusal) -> None:
    operation = _operation(refusal.operation)
    assert refusal.code in _codes(operation, refusal.status), (refusal.status, operation["responses"].keys())


def test_errors_are_problem_documents_everywhere() -> None:
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                if status[0] in "45" or status == "default":
                    assert response["content"].keys() == {"application/problem+json"}, (method, path, status)


def test_operations_share_the_answer_of_each_problem() -> None:
    shared: Mapping[str, Any] = COMMITTED["components"]["responses"]
    referred = {
        answer["$ref"].rpartition("/")[2] if "$ref" in answer else None
        for operations in COMMITTED["paths"].values()
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        if status[0] in "45d"
    }
    assert referred == shared.keys()
    for name, answer in shared.items():
        codes = answer.get("x-problem-codes", [])
        assert re.findall(r"`([a-z0-9_]+)`: ", answer["description"]) == codes, name
        assert [*answer["content"]["application/problem+json"].get("examples", {})] == codes, name


def test_operation_ids_are_unique_and_every_reference_resolves() -> None:
    every = [operation for operations in DOCUMENT["paths"].values() for operation in operations.values()]
    ids = [operation["operationId"] for operation in every]
    assert len(ids) == len(set(ids))
    schemas = DOCUMENT["components"]["schemas"]
    references = re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(DOCUMENT))
    assert references
    assert set(references) <= schemas.keys()
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert set(schemes) >= {"GalleryKey", "GalleryCode", "GalleryPassword"}
    assert set(schemes) >= {name for each in every for way in each["security"] for name in way}
