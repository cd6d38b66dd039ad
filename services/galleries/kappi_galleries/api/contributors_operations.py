"""The OpenAPI descriptions of the public operations on contributors."""

from __future__ import annotations

from typing import Any

from kappi_chassis.http.app import problems
from kappi_chassis.idempotency import IdempotencyKeyInvalid, IdempotencyKeyReused
from kappi_chassis.problems import MalformedJson, ValidationFailed

from kappi_galleries.api.contributors_schemas import ContributorCreatedAnswer, ContributorPageAnswer
from kappi_galleries.api.operations import MANAGER_PROBLEMS
from kappi_galleries.errors import (
    ContributionsClosed,
    ContributorNotFound,
    GalleryNotFound,
    TooManyContributors,
)

ADD: dict[str, Any] = {
    "operation_id": "addContributor",
    "summary": "Become a contributor of a gallery",
    "description": "For holders of the code of a gallery whose `contributions` are `open` or `drop`. The "
    "answer holds the `contributor_key`, which is shown only here. Sent as `X-Contributor-Key`, it allows "
    "uploads to the gallery, and changes and deletions of the own items. It works while the code opens the "
    "gallery, until its manager removes the contributor.",
    "openapi_extra": {"security": [{}]},
    "status_code": 201,
    "response_model": ContributorCreatedAnswer,
    "response_description": "The contributor, with its key",
    "responses": problems(
        MalformedJson,
        IdempotencyKeyInvalid,
        ValidationFailed,
        IdempotencyKeyReused,
        ContributionsClosed,
        GalleryNotFound,
        TooManyContributors,
    ),
}
LIST: dict[str, Any] = {
    "operation_id": "listContributors",
    "summary": "List the contributors of a gallery",
    "description": "For its manager, the newest first. Removed contributors are left out.",
    "response_model": ContributorPageAnswer,
    "response_description": "A page of contributors",
    "responses": problems(*MANAGER_PROBLEMS),
}
REMOVE: dict[str, Any] = {
    "operation_id": "removeContributor",
    "summary": "Remove a contributor",
    "description": "Its key is void at once, and its pending uploads are aborted. With `items=delete`, the "
    "items that it added to the gallery are deleted, too, within seconds; that may also be asked for after a "
    "removal that kept them. Repeating it has no further effect.",
    "status_code": 204,
    "response_model": None,
    "response_description": "The contributor is removed",
    "responses": problems(*MANAGER_PROBLEMS, ContributorNotFound),
}
