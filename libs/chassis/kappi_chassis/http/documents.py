"""Answers made of pydantic documents. No cache keeps them, because they depend on the caller."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel
from starlette.responses import Response

from kappi_chassis.http.responses import json_response
from kappi_chassis.idempotency import StoredAnswer

NO_STORE: Final[Mapping[str, str]] = MappingProxyType({"Cache-Control": "no-store"})


def document_response(document: BaseModel) -> Response:
    """Returns a document as the answer to a request."""
    return stored_response(stored_document(document))


def stored_document(document: BaseModel, *, status: int = 200) -> StoredAnswer:
    """Returns a document as an answer that can be stored for repetitions of an idempotent call."""
    return StoredAnswer(status, document.model_dump_json(by_alias=True).encode())


def stored_response(answer: StoredAnswer) -> Response:
    """Returns an answer that may have been stored."""
    return json_response(answer.body, status=answer.status, headers=dict(NO_STORE))
