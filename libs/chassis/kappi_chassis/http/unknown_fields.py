"""Refusal of body fields and query parameters that an operation does not have, each by its name.

Without this a misspelt name is dropped silently: `{"visiblity": "private"}` made a shared gallery. Internal
paths stay tolerant, because services of two versions call each other while one of them is replaced.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict

from kappi_chassis.problems import FieldError, UnknownField

INTERNAL = "/internal/"
SHOWN_ERRORS = 50
_SHOWN_CHARACTERS = 200
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


class RequestBody(BaseModel):
    """Base of every JSON body that clients send, not of answers and events."""

    model_config = ConfigDict(extra="forbid")


def shown(text: str) -> str:
    """Returns a client's text shortened and encodable."""
    return text[:_SHOWN_CHARACTERS].encode(errors="replace").decode()


def unknown_field(path: str) -> FieldError:
    """Returns the error for an unknown field. path: of the field, dotted."""
    return FieldError(field=shown(path), code=UnknownField.code, message="There is no field of this name.")


def refuse_unknown_fields(names: Iterable[str], *, known: Collection[str]) -> None:
    """Raises UnknownField for unknown fields of a form."""
    _refuse(dict.fromkeys(name for name in names if name not in known), "There is no field of this name.")


def refuse_unknown_parameters(query: bytes, *, known: Collection[str]) -> None:
    """Raises UnknownField for unknown parameters of a query. query: undecoded."""
    if query:
        names = (name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
        _refuse(
            dict.fromkeys(name for name in names if name not in known),
            f"There is no parameter of this name; known here: {', '.join(sorted(known)) or 'none'}.",
        )


async def refuse_unknown(request: Request) -> None:
    """Raises UnknownField; a dependency of every FastAPI operation.

    If an operation takes no body, each field of a JSON object that is sent is unknown.
    """
    route = request.scope["route"]
    if not isinstance(route, APIRoute) or route.path.startswith(INTERNAL):
        return
    if request.scope["query_string"]:
        known = frozenset(_query_names(route.dependant))
        refuse_unknown_parameters(request.scope["query_string"], known=known)
    takes_body = route.body_field is not None or "requestBody" in (route.openapi_extra or {})
    if not takes_body and request.method in _BODY_METHODS:
        refuse_unknown_fields(_names_of(await request.body()), known=())


def _query_names(dependant: Dependant) -> Iterable[str]:
    yield from (field.alias for field in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _query_names(inner)


def _names_of(body: bytes) -> Iterable[str]:
    try:
        document: Any = msgspec.json.decode(body) if body else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    return document if isinstance(document, dict) else ()


def _refuse(names: Collection[str], message: str) -> None:
    if names:
        errors = [
            FieldError(field=shown(name), code=UnknownField.code, message=message)
            for name in list(names)[:SHOWN_ERRORS]
        ]
        listed = shown(", ".join(error.field for error in errors))
        raise UnknownField(f"Not known here: {listed}.", errors=tuple(errors))
