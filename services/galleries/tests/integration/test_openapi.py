"""Every endpoint is described in words, with its problem codes and an example."""

from __future__ import annotations

from typing import Any

import pytest
from kappi_chassis.auth.accounts import AccessTokenInvalid, AccessTokenMissing
from kappi_chassis.auth.verifier import KeysUnavailable

TOKEN = {AccessTokenInvalid.code, KeysUnavailable.code}
MANAGER = TOKEN | {
    *("gallery_key_missing", "gallery_key_wrong", "gallery_not_found", "validation_failed"),
}
ONE = "/v1/galleries/{gallery_id}"
IDEMPOTENCY = {"idempotency_key_invalid", "idempotency_key_reused"}
PUBLIC = {
    ("/v1/galleries", "post"): TOKEN
    | IDEMPOTENCY
    | {
        *("malformed_json", "validation_failed", "account_required", "expiry_not_for_accounts"),
        *("codes_exhausted", "busy"),
    },
    ("/v1/galleries", "get"): TOKEN | {AccessTokenMissing.code, "validation_failed"},
    (ONE, "get"): MANAGER,
    (ONE, "patch"): MANAGER | {"malformed_json", "account_required", "expiry_not_for_accounts", "busy"},
    (ONE, "delete"): MANAGER,
    (f"{ONE}/claim", "post"): MANAGER | IDEMPOTENCY | {AccessTokenMissing.code},
    (f"{ONE}/rotate-code", "post"): MANAGER | IDEMPOTENCY | {"codes_exhausted"},
    (f"{ONE}/rotate-key", "post"): MANAGER | IDEMPOTENCY,
}


@pytest.fixture
async def document(http: Any) -> Any:
    answer = await http("GET", "/internal/openapi.json")
    assert answer.status == 200
    return answer.json


async def test_nothing_is_undescribed(document: Any) -> None:
    operations = {
        (path, method): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert set(PUBLIC) <= set(operations)
    assert {path for path, _ in operations if path.startswith("/internal/")} == {
        *("/internal/grants/view", "/internal/grants/key", "/internal/grants/owner"),
        "/internal/grants/contributor",
        *("/internal/galleries/{gallery_id}/views", "/internal/galleries/{gallery_id}/downloads"),
        "/internal/galleries/{gallery_id}/previews",
        "/internal/jwks.json",
    }
    for operation in operations.values():
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]


@pytest.mark.parametrize(("operation", "codes"), PUBLIC.items(), ids=map(" ".join, PUBLIC))
async def test_the_problem_codes_of_every_operation_are_named(
    document: Any, operation: tuple[str, str], codes: set[str]
) -> None:
    path, method = operation
    responses = document["paths"][path][method]["responses"]
    words = " ".join(response["description"] for response in responses.values())
    assert {code for code in codes if f"`{code}`" not in words} == set()
    assert all(
        "application/problem+json" in response["content"]
        for status, response in responses.items()
        if status >= "4"
    )


async def test_the_key_is_a_security_scheme_and_bodies_have_examples(document: Any) -> None:
    scheme = document["components"]["securitySchemes"]["GalleryKey"]
    assert (scheme["in"], scheme["name"]) == ("header", "X-Gallery-Key")
    token = document["components"]["securitySchemes"]["AccountToken"]
    assert (token["type"], token["scheme"], token["bearerFormat"]) == ("http", "bearer", "JWT")
    for method in ("get", "patch", "delete"):
        assert document["paths"][ONE][method]["security"] == [{"AccountToken": []}, {"GalleryKey": []}]
    secured: dict[tuple[str, str], list[dict[str, list[str]]]] = {
        ("/v1/galleries", "post"): [{"AccountToken": []}, {}],
        ("/v1/galleries", "get"): [{"AccountToken": []}],
        (f"{ONE}/claim", "post"): [{"AccountToken": [], "GalleryKey": []}],
        (f"{ONE}/rotate-code", "post"): [{"AccountToken": []}, {"GalleryKey": []}],
        (f"{ONE}/rotate-key", "post"): [{"GalleryKey": []}],
    }
    for (path, method), security in secured.items():
        assert document["paths"][path][method]["security"] == security
    schemas = document["components"]["schemas"]
    assert schemas["GalleryCreate"]["examples"]
    assert schemas["GalleryPatch"]["examples"]
    access_key = schemas["GalleryCreatedAnswer"]["properties"]["access_key"]
    assert access_key["type"] == "string"
    assert access_key["examples"]
    assert "access_key" not in schemas["GalleryCreatedAnswer"]["required"]
