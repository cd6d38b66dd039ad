"""Makes the schemas of the services as exact as client generators need them."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc

from kappi_gateway.openapi.document import Document, operations_of

_GREATEST_INT32 = 2**31 - 1
_NULL: Document = {"type": "null"}
_IN_SCHEMAS = ("items", "additionalProperties", "not")
_IN_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")


def make_exact(document: Document) -> None:
    """Changes the document in place:

    - Each integer is `int32` if its maximum fits, else `int64`. Without a format a generated Java client read
      5,368,709,120 as 1,073,741,824.
    - Each number is `double`: a geographic position needs more digits than a `float` has.
    - A nullable value says so in its type, so that generators make no class for it.
    - A parameter is never null: it is left out.
    - A field has no default: a generated client would send the default and so overwrite fields that a PATCH
      should keep.
    - Each enumeration of strings has a type.
    - No schema has the `title` that the services derive from a name.
    """
    for parameter in _parameters(document):
        parameter["schema"] = _never_null(parameter["schema"])
    for schema in _schemas_of(document):
        for part in _parts(schema):
            _make_exact(part)


def _make_exact(schema: Document) -> None:
    schema.pop("title", None)
    for value in schema.get("properties", {}).values():
        value.pop("default", None)
    if "description" in schema:
        schema["description"] = cleandoc(schema["description"])
    if "enum" in schema and "type" not in schema and all(isinstance(each, str) for each in schema["enum"]):
        schema["type"] = "string"
    alternatives = schema.get("anyOf", ())
    value = dict(alternatives[0]) if len(alternatives) == 2 and alternatives[1] == _NULL else {}
    if isinstance(value.get("type"), str) and "enum" not in value:
        del schema["anyOf"]
        schema.update({**value, **schema, "type": [value["type"], "null"]})
    types = schema.get("type")
    kinds = types if isinstance(types, list) else [types]
    if "integer" in kinds and "format" not in schema:
        maximum = schema.get("maximum", schema.get("exclusiveMaximum"))
        fits = maximum is not None and maximum <= _GREATEST_INT32
        schema["format"] = "int32" if fits else "int64"
    elif "number" in kinds and "format" not in schema:
        schema["format"] = "double"


def _never_null(schema: Document) -> Document:
    alternatives = [each for each in schema.get("anyOf", ()) if each != _NULL]
    if len(alternatives) != 1 or len(schema["anyOf"]) == 1:
        return schema
    return {**alternatives[0], **{name: value for name, value in schema.items() if name != "anyOf"}}


def _parameters(document: Document) -> Iterator[Document]:
    for operation in operations_of(document["paths"]):
        yield from (each for each in operation.get("parameters", ()) if "schema" in each)


def _schemas_of(document: Document) -> Iterator[Document]:
    """Yields every schema that is not part of another."""
    yield from document["components"]["schemas"].values()
    yield from (parameter["schema"] for parameter in _parameters(document))
    for operation in operations_of(document["paths"]):
        for carrier in (operation.get("requestBody", {}), *operation["responses"].values()):
            carried = (*carrier.get("content", {}).values(), *carrier.get("headers", {}).values())
            yield from (each["schema"] for each in carried if "schema" in each)


def _parts(schema: Document) -> Iterator[Document]:
    """Yields all schemas within a schema, inner ones first, and the schema itself last."""
    inner = [schema[name] for name in _IN_SCHEMAS if isinstance(schema.get(name), dict)]
    inner += [each for name in _IN_LISTS for each in schema.get(name, ())]
    inner += schema.get("properties", {}).values()
    for each in inner:
        yield from _parts(each)
    yield schema
