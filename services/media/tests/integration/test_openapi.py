"""Every endpoint is described: in words, with its problem codes, with a valid example."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from kappi_media.api import schemas, statistics_schemas
from kappi_media.domain import declarations, upload_plan
from kappi_testkit.media.harness import Http

ACCESS = {"credentials_missing", "grant_invalid", "right_missing", "gallery_not_found"}
ACCOUNT = {"credentials_missing", "access_token_invalid", "keys_unavailable"}
PUBLIC = {
    ("/v1/media/{id}/playback", "get"): ACCESS
    | {"media_not_found", "media_not_ready", "media_not_a_film", "playback_not_in_tier"}
    | {"playback_impossible", "playbacks_busy", "location_not_removable", "location_free_pending"}
    | {"store_unavailable", "validation_failed"},
    ("/v1/media/{id}/playback.m3u8", "get"): ACCESS
    | {"media_not_found", "media_not_ready", "media_not_a_film", "film_not_long", "playback_not_in_tier"}
    | {"playback_impossible", "playbacks_busy", "playlist_url_invalid"}
    | {"store_unavailable", "validation_failed"},
    ("/v1/posts/{id}/image", "get"): {"post_not_found", "store_unavailable"},
    ("/v1/galleries/{id}/uploads", "post"): ACCESS
    | {"gallery_key_wrong", "file_too_large", "unsupported_content_type", "quota_exceeded"}
    | {"validation_failed"}
    | {"malformed_json", "payload_too_large", "idempotency_key_invalid", "idempotency_key_reused"},
    ("/v1/galleries/{id}/media", "post"): ACCESS
    | {"gallery_key_wrong", "file_too_large", "unsupported_content_type", "quota_exceeded", "overloaded"}
    | {"validation_failed", "content_mismatch", "malformed_form", "malformed_base64", "store_unavailable"}
    | {"malformed_json", "payload_too_large", "idempotency_key_invalid", "idempotency_key_reused"},
    ("/v1/galleries/{id}/media", "get"): ACCESS | {"gallery_key_wrong", "validation_failed"},
    ("/v1/galleries/{id}/order", "post"): ACCESS
    | {"gallery_key_wrong", "media_not_found", "order_exhausted", "too_many_to_sort", "sort_busy"}
    | {"validation_failed", "malformed_json", "payload_too_large"}
    | {"idempotency_key_invalid", "idempotency_key_reused"},
    ("/v1/g/{code}/cover", "get"): ACCESS
    | {"cover_not_found", "rendition_impossible", "renditions_busy", "store_unavailable"},
    ("/v1/uploads/{id}/parts", "post"): ACCESS
    | {"upload_not_found", "upload_not_multipart", "upload_completed", "upload_aborted", "upload_expired"}
    | {"validation_failed", "malformed_json", "payload_too_large", "store_unavailable"},
    ("/v1/uploads/{id}", "get"): ACCESS | {"upload_not_found", "store_unavailable"},
    ("/v1/uploads/{id}", "delete"): ACCESS | {"upload_not_found", "upload_completed"},
    ("/v1/uploads/{id}/complete", "post"): ACCESS
    | {"upload_not_found", "upload_incomplete", "upload_aborted", "content_mismatch", "store_unavailable"}
    | {"validation_failed", "malformed_json", "payload_too_large"},
    ("/v1/media", "get"): ACCOUNT | {"validation_failed"},
    ("/v1/media/tags", "get"): ACCOUNT | {"validation_failed"},
    ("/v1/media/places", "get"): ACCOUNT | {"validation_failed"},
    ("/v1/media/bulk", "post"): ACCOUNT
    | {"validation_failed", "malformed_json", "payload_too_large"}
    | {"idempotency_key_invalid", "idempotency_key_reused"},
    ("/v1/media/{id}", "get"): ACCESS | {"media_not_found"},
    ("/v1/media/{id}", "patch"): ACCESS | {"media_not_found", "validation_failed", "malformed_json"},
    ("/v1/media/{id}", "delete"): ACCESS | {"media_not_found"},
    ("/v1/media/{id}/download", "get"): ACCESS
    | {"media_not_found", "original_not_in_tier", "media_not_ready"}
    | {"location_not_removable", "location_free_pending", "store_unavailable"},
    ("/v1/media/{id}/renditions/{size}", "get"): ACCESS
    | {"media_not_found", "media_not_ready", "rendition_not_in_tier", "rendition_impossible"}
    | {"renditions_busy", "store_unavailable"},
    ("/v1/media/{id}/links", "post"): ACCESS
    | {"links_not_in_tier", "original_not_in_tier", "media_not_found", "validation_failed"}
    | {"malformed_json", "payload_too_large", "idempotency_key_invalid", "idempotency_key_reused"},
    ("/v1/media/{id}/links", "get"): ACCESS | {"media_not_found", "validation_failed"},
    ("/v1/links/{id}", "delete"): ACCESS | {"link_not_found"},
    ("/v1/l/{token}", "get"): {"link_not_found", "link_expired", "media_not_found", "media_not_ready"}
    | {"location_not_removable", "location_free_pending", "store_unavailable"},
    ("/v1/g/{code}/archive", "get"): ACCESS
    | {"original_not_in_tier", "archive_empty", "archive_changed", "range_not_satisfiable", "archive_busy"}
    | {"location_free_pending", "store_unavailable"},
    ("/v1/galleries/{id}/accesses", "get"): ACCESS | {"gallery_key_wrong", "validation_failed"},
    ("/v1/me/stats", "get"): {
        "credentials_missing",
        "access_token_invalid",
        "keys_unavailable",
        "validation_failed",
    },
    ("/v1/g/{code}", "get"): {
        "gallery_not_found",
        "credentials_missing",
        "grant_invalid",
        "validation_failed",
    },
}


@pytest.fixture
async def document(http: Http) -> Any:
    answer = await http("GET", "/internal/openapi.json")
    assert answer.status == 200
    return answer.json


def operations(document: Any) -> dict[tuple[str, str], Any]:
    return {
        (path, method): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def nodes(node: Any) -> Any:
    yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(child)


async def test_nothing_is_undescribed(document: Any) -> None:
    found = operations(document)
    assert set(found) == set(PUBLIC)
    for operation in found.values():
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"] in (["Media"], ["Posts"], ["Statistics"])
        assert all(response["description"] for response in operation["responses"].values())
    identifiers = [operation["operationId"] for operation in found.values()]
    assert len(identifiers) == len(set(identifiers))


async def test_the_problem_codes_of_every_operation_are_named(document: Any) -> None:
    for key, codes in PUBLIC.items():
        words = " ".join(
            response["description"] for response in operations(document)[key]["responses"].values()
        )
        assert {code for code in codes if f"`{code}`" not in words} == set(), key


async def test_path_parameters_are_declared(document: Any) -> None:
    for (path, _), operation in operations(document).items():
        declared = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
        assert declared == {part[1:-1] for part in path.split("/") if part.startswith("{")}


async def test_references_lead_somewhere(document: Any) -> None:
    known = document["components"]["schemas"]
    references = [node["$ref"] for node in nodes(document) if isinstance(node, dict) and "$ref" in node]
    assert references
    assert {reference.rsplit("/", 1)[1] for reference in references} <= set(known)


async def test_examples_are_true(document: Any) -> None:
    shown = {
        name: schema["examples"]
        for name, schema in document["components"]["schemas"].items()
        if schema.get("type") == "object" and "examples" in schema
    }
    answered = {
        node["schema"]["$ref"].rsplit("/", 1)[1]
        for node in nodes(document["paths"])
        if isinstance(node, dict) and "$ref" in node.get("schema", {})
    }
    assert answered <= set(shown)
    for name, (example,) in shown.items():
        modules = (schemas, statistics_schemas, declarations, upload_plan)
        (model,) = {found for each in modules if (found := getattr(each, name, None)) is not None}
        understood = msgspec.to_builtins(msgspec.convert(example, model, strict=False))
        assert understood.keys() >= example.keys()


async def test_no_internal_header_is_documented(document: Any) -> None:
    assert "x-kappi-grant" not in str(document).lower()
