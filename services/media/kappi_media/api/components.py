"""Adds the JSON Schemas of the bodies, derived from the structs, to the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI
from kappi_chassis.http.app import problems
from kappi_chassis.problems import Problem

from kappi_media.api import examples, schemas, statistics_schemas
from kappi_media.domain import declarations, upload_plan

_PREFIX = "#/components/schemas/"
_EXAMPLES: dict[type[msgspec.Struct], Any] = {
    statistics_schemas.AccessPage: examples.ACCESS_PAGE,
    statistics_schemas.AccountStats: examples.ACCOUNT_STATS,
    schemas.BatchDeclaration: examples.BATCH_DECLARATION,
    schemas.BulkChange: examples.BULK_CHANGE,
    schemas.BulkResults: examples.BULK_RESULTS,
    schemas.Completion: examples.COMPLETION,
    schemas.SharedGalleryPage: examples.GALLERY_PAGE,
    schemas.ItemChanges: examples.ITEM_CHANGES,
    schemas.ItemView: examples.READY_ITEM,
    schemas.LibraryPage: examples.LIBRARY_PAGE,
    schemas.LinkPage: examples.LINK_PAGE,
    schemas.LinkRequest: examples.LINK_REQUEST,
    schemas.NewLink: examples.NEW_LINK,
    schemas.ManagedItemPage: examples.MANAGED_ITEM_PAGE,
    schemas.OrderChange: examples.ORDER_CHANGE,
    schemas.OrderChanged: examples.ORDER_CHANGED,
    declarations.PostedFile: examples.POSTED_FILE,
    schemas.PartNumbers: examples.PART_NUMBERS,
    schemas.PendingPlayback: examples.PENDING_PLAYBACK,
    schemas.PlacePage: examples.PLACE_PAGE,
    schemas.PromisedBatch: examples.PROMISED_BATCH,
    schemas.SidecarWaiting: examples.SIDECAR_WAITING,
    schemas.SignedParts: examples.SIGNED_PARTS,
    upload_plan.SignedUrl: examples.SIGNED_URL,
    schemas.TagPage: examples.TAG_PAGE,
    schemas.UploadStatus: examples.UPLOAD_STATUS,
}


def operation(
    operation_id: str,
    summary: str,
    description: str,
    answers: Mapping[int | str, Any],
    *failures: type[Problem],
    tag: str = "Media",
    **more: Any,
) -> dict[str, Any]:
    """Returns an operation, as FastAPI takes it. answers: by status. failures: the problems among the
    answers.
    """
    return {
        "operation_id": operation_id,
        "tags": [tag],
        "summary": summary,
        "description": description,
        "responses": {**answers, **problems(*failures)},
        **more,
    }


def documented(operation: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Returns an operation as an OpenAPI object, for a route that FastAPI does not read."""
    given = dict(operation)
    responses = {str(status): response for status, response in given.pop("responses").items()}
    return {"operationId": given.pop("operation_id"), **given, **more, "responses": responses}


def parameter(name: str, where: str, description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a parameter, for a route whose parameters FastAPI does not read. where: path, query, header."""
    required = {"required": True} if where == "path" else {}
    return {"name": name, "in": where, **required, "description": description, "schema": dict(schema)}


def path_id(of: str) -> dict[str, Any]:
    """Returns the parameter of an id in the path. of: the thing."""
    return parameter("id", "path", f"Id of the {of}", {"type": "string", "format": "uuid"})


def answer(schema: str, description: str) -> dict[str, Any]:
    """Returns a JSON response. schema: name of a struct in `schemas.py`."""
    return {"description": description, "content": _content(schema)}


def json_body(schema: str) -> dict[str, Any]:
    """Returns a required JSON request body."""
    return {"required": True, "content": _content(schema)}


def add_components(app: FastAPI) -> None:
    """Add the schema of every body that `answer` and `json_body` refer to, each with an example.

    Examples are part of the schemas, because FastAPI drops nulls from examples in operations.
    """
    original = app.openapi
    _, components = msgspec.json.schema_components(_EXAMPLES, ref_template=_PREFIX + "{name}")
    for model, example in _EXAMPLES.items():
        components[model.__name__]["examples"] = [example]

    def with_components() -> dict[str, Any]:
        document = original()
        document.setdefault("components", {}).setdefault("schemas", {}).update(components)
        return document

    app.openapi = with_components  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _content(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _PREFIX + schema}}}
