from __future__ import annotations

import copy
from typing import Any

import pytest
from kappi_chassis.http.app import listed_problems
from kappi_gateway.openapi.merge import merge
from kappi_gateway.routes import Service


def schema_of(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def operation(name: str, **other: Any) -> dict[str, Any]:
    content = {"application/json": {"schema": schema_of(name)}}
    return {"responses": {"200": {"description": "ok", "content": content}}, **other}


GALLERIES: dict[str, Any] = {
    "paths": {
        "/v1/galleries": {"post": operation("Item")},
        "/v1/galleries/{gallery_id}": {
            "get": operation(
                "Shared",
                security=[{"OwnersKey": []}, {"Unknown": []}],
                parameters=[
                    {"in": "path", "name": "gallery_id", "required": True},
                    {"in": "header", "name": "X-Gallery-Key"},
                    {"in": "query", "name": "gallery_id"},
                ],
            ),
        },
        "/internal/grants/view": {"post": operation("Secret")},
    },
    "components": {
        "schemas": {
            "Item": {"type": "object", "properties": {"next": schema_of("Item")}},
            "Shared": {"type": "string"},
            "Secret": {"type": "string"},
        },
        "securitySchemes": {
            "OwnersKey": {"type": "apiKey", "in": "header", "name": "x-gallery-key"},
            "Unknown": {"type": "apiKey", "in": "cookie", "name": "session"},
        },
    },
}
MEDIA: dict[str, Any] = {
    "paths": {
        "/v1/media/{id}": {
            "get": operation("Item", parameters=[{"in": "header", "name": "X-Kappi-Grant", "required": True}])
        },
        "/v1/g/{code}": {"get": operation("Shared")},
        "/v1/unlisted": {"get": operation("Item")},
    },
    "components": {"schemas": {"Item": {"type": "integer"}, "Shared": {"type": "string"}}},
}


def merged() -> dict[str, Any]:
    return merge({Service.GALLERIES: copy.deepcopy(GALLERIES), Service.MEDIA: copy.deepcopy(MEDIA)})


IDENTITY: dict[str, Any] = {
    "paths": {
        "/v1/me": {"get": operation("Account", security=[{"Token": []}])},
        "/v1/accounts": {"post": operation("Account")},
        "/v1/admin/accounts/{account_id}/tier": {
            "put": operation("Account", parameters=[{"in": "path", "name": "account_id", "required": True}])
        },
    },
    "components": {
        "schemas": {"Account": {"type": "object"}},
        "securitySchemes": {"Token": {"type": "http", "scheme": "Bearer", "description": "its own words"}},
    },
}


def merged_with_accounts() -> dict[str, Any]:
    parts = {Service.IDENTITY: IDENTITY, Service.GALLERIES: GALLERIES, Service.MEDIA: MEDIA}
    return merge(copy.deepcopy(parts))


def schema_in(document: dict[str, Any], path: str, method: str) -> str:
    content = document["paths"][path][method]["responses"]["200"]["content"]
    return str(content["application/json"]["schema"]["$ref"]).rpartition("/")[2]


def test_only_listed_operations_are_documented() -> None:
    assert list(merged()["paths"]) == [
        "/v1/galleries",
        "/v1/galleries/{id}",
        "/v1/g/{code}",
        "/v1/media/{id}",
    ]


def test_different_schemas_of_one_name_get_different_names() -> None:
    document = merged()
    schemas = document["components"]["schemas"]
    assert schemas[schema_in(document, "/v1/media/{id}", "get")] == {"type": "integer", "format": "int64"}
    own = schema_in(document, "/v1/galleries", "post")
    assert schemas[own]["properties"]["next"] == schema_of(own)


def test_equal_schemas_are_merged_and_unused_ones_are_removed() -> None:
    document = merged()
    assert (
        schema_in(document, "/v1/galleries/{id}", "get")
        == schema_in(document, "/v1/g/{code}", "get")
        == "Shared"
    )
    assert sorted(document["components"]["schemas"]) == [
        *("FieldError", "GalleriesItem", "MediaItem", "Problem", "ProblemCode", "Shared"),
    ]


def test_path_parameters_get_public_names_and_credentials_become_schemes() -> None:
    get = merged()["paths"]["/v1/galleries/{id}"]["get"]
    assert get["parameters"] == [
        {"in": "path", "name": "id", "required": True},
        {"in": "query", "name": "gallery_id"},
    ]
    assert get["security"] == [{"GalleryKey": []}]


def test_grants_are_not_documented() -> None:
    get = merged()["paths"]["/v1/media/{id}"]["get"]
    assert "parameters" not in get
    assert {"GalleryCode": []} in get["security"]
    assert "429" in get["responses"]


def failing(media: dict[str, Any]) -> dict[str, str]:
    """Returns the public descriptions by status of a GET of an item with these documented failures."""
    parts = copy.deepcopy(MEDIA)
    parts["paths"]["/v1/media/{id}"]["get"]["responses"] |= media
    document = merge({Service.MEDIA: parts})
    responses = document["paths"]["/v1/media/{id}"]["get"]["responses"]
    shared = document["components"]["responses"]
    return {
        status: shared[answer["$ref"].rpartition("/")[2]]["description"]
        if "$ref" in answer
        else answer["description"]
        for status, answer in responses.items()
    }


def test_failures_of_service_and_gateway_are_documented_together() -> None:
    shown = failing(
        {"404": listed_problems({"media_not_found": "No such item", "gallery_not_found": "No gallery"})}
    )
    assert shown["404"] == "`media_not_found`: No such item; `gallery_not_found`: No gallery"
    shown = failing({"503": listed_problems({"store_unavailable": "The store is away"})})
    assert shown["503"].startswith("`store_unavailable`: The store is away; `upstream_unavailable`: ")
    assert "`overloaded`" in shown["503"]
    assert "`upstream_timeout`" in shown["504"]
    assert "`too_many_guesses`" in shown["429"]


def test_failures_that_only_the_gateway_can_cause_are_not_documented() -> None:
    unauthenticated = {"credentials_missing": "Needed", "grant_invalid": "The grant is not valid"}
    shown = failing(
        {"401": listed_problems(unauthenticated), "403": listed_problems({"right_missing": "No"})}
    )
    assert shown["401"].startswith("`credentials_missing`: Needed; `gallery_password_required`")
    assert "grant" not in shown["401"]
    assert shown["403"] == (
        "`gallery_key_wrong`: The access key does not open this gallery; "
        "`gallery_taken_down`: An administrator took the gallery down; "
        "`contributor_key_wrong`: The contributor key does not open this gallery"
    )


def test_answers_that_are_no_failures_are_unchanged() -> None:
    shown = failing({"302": {"description": "To the bytes"}, "default": {"description": "A problem"}})
    assert (shown["200"], shown["302"], shown["default"]) == ("ok", "To the bytes", "A problem")


def test_tokens_are_documented_only_with_accounts() -> None:
    without, document = merged(), merged_with_accounts()
    assert {"AccessToken", "OAuth2"}.isdisjoint(without["components"]["securitySchemes"])
    assert without["paths"]["/v1/media/{id}"]["get"]["security"][-1] == {
        "GalleryCode": [],
        "GalleryPassword": [],
    }
    schemes = document["components"]["securitySchemes"]
    assert (schemes["AccessToken"]["scheme"], schemes["AccessToken"]["type"]) == ("bearer", "http")
    assert schemes["OAuth2"]["flows"]["password"]["tokenUrl"] == "/v1/oauth/token"
    paths = document["paths"]
    assert paths["/v1/media/{id}"]["get"]["security"][-2:] == [{"AccessToken": []}, {"OAuth2": []}]
    assert paths["/v1/me"]["get"]["security"] == [{"AccessToken": []}, {"OAuth2": []}]
    assert paths["/v1/accounts"]["post"]["security"] == [{}]
    assert "429" in paths["/v1/accounts"]["post"]["responses"]
    assert paths["/v1/admin/accounts/{id}/tier"]["put"]["parameters"][0]["name"] == "id"


@pytest.mark.parametrize("document", [merged(), merged_with_accounts()])
def test_every_named_scheme_exists(document: dict[str, Any]) -> None:
    named = {
        name
        for operations in document["paths"].values()
        for one in operations.values()
        for way in one["security"]
        for name in way
    }
    assert named <= document["components"]["securitySchemes"].keys()


def test_the_documents_of_the_services_are_not_changed() -> None:
    parts = {Service.GALLERIES: copy.deepcopy(GALLERIES), Service.MEDIA: copy.deepcopy(MEDIA)}
    merge(parts)
    assert parts == {Service.GALLERIES: GALLERIES, Service.MEDIA: MEDIA}
