"""Every endpoint is described: in words, with its problem codes, with an example."""

from __future__ import annotations

from typing import Any

import pytest

PUBLIC = {
    ("/v1/galleries", "post"): {
        *("malformed_json", "idempotency_key_invalid", "validation_failed", "account_required"),
        *("idempotency_key_reused", "codes_exhausted"),
    },
    ("/v1/galleries/{gallery_id}", "get"): {
        *("gallery_key_missing", "gallery_key_wrong", "gallery_not_found", "validation_failed"),
    },
    ("/v1/galleries/{gallery_id}", "patch"): {
        *("gallery_key_missing", "gallery_key_wrong", "gallery_not_found", "validation_failed"),
        *("malformed_json", "account_required"),
    },
    ("/v1/galleries/{gallery_id}", "delete"): {
        "gallery_key_missing",
        "gallery_key_wrong",
        "validation_failed",
    },
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
        *("/internal/grants/view", "/internal/grants/key", "/internal/jwks.json"),
    }
    for operation in operations.values():
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]


@pytest.mark.parametrize(("operation", "codes"), PUBLIC.items(), ids=[method for _, method in PUBLIC])
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
    for method in ("get", "patch", "delete"):
        assert document["paths"]["/v1/galleries/{gallery_id}"][method]["security"] == [{"GalleryKey": []}]
    schemas = document["components"]["schemas"]
    assert schemas["GalleryCreate"]["examples"]
    assert schemas["GalleryPatch"]["examples"]
    assert schemas["GalleryCreatedAnswer"]["properties"]["access_key"]["examples"]
