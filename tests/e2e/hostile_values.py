"""Requests with one value that a parser, PostgreSQL or the column of a number may refuse.

Every place of an operation is tested: path, query, headers, and each field of a body, also optional ones. The
rest of the request is valid, so that the value gets as far as possible.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlencode

from tests.e2e.authorisation import Operation, named

_DIGITS = "9" * 20
JSON_VALUES: Mapping[str, str] = {
    "a NUL": r'"a\u0000"',
    "half a surrogate pair": r'"\ud800"',
    "an integer beyond 64 bits": _DIGITS,
    "a negative integer beyond 64 bits": f"-{_DIGITS}",
    "the first integer beyond a bigint": str(2**63),
    "an integer of 5,000 digits": "9" * 5_000,
    "a number beyond a double": "1e999",
    "a NUL 400 deep": "[" * 400 + r'"\u0000"' + "]" * 400,
    "text 900 deep": '{"a":' * 900 + '"text"' + "}" * 900,
    "100,000 opened": "[" * 100_000,
}
"""JSON texts: Python's own encoder refuses some of these values."""
JSON_KEYS: Mapping[str, str] = {
    "a NUL in a name": r'{"a\u0000": 1}',
    "half a surrogate pair in a name": r'{"\ud800": 1}',
}
TEXTS: Mapping[str, bytes] = {
    "a NUL": b"a\x00",
    "half a surrogate pair": b"\xed\xa0\x80",
    "bytes that are no UTF-8": b"\xff\xfe",
    "an integer beyond 64 bits": _DIGITS.encode(),
    "a negative integer beyond 64 bits": f"-{_DIGITS}".encode(),
    "the first integer beyond a bigint": str(2**63).encode(),
    "an integer of 5,000 digits": b"9" * 5_000,
    "not a number": b"nan",
    "a number beyond a double": b"1e999",
    "400 opened": b"[" * 400,
    "digits of another script": "٣".encode(),
}
"""Values for paths, queries and forms, before percent-encoding."""
HEADER_VALUES: Mapping[str, bytes] = {
    "bytes that are no UTF-8": b"\xff\xfe",
    "an integer beyond 64 bits": _DIGITS.encode(),
    "an integer of 5,000 digits": b"9" * 5_000,
    "digits of another script": "٣".encode(),
    "a range of 5,000 digits": b"bytes=" + b"9" * 5_000 + b"-",
    "a range in another script": "bytes=٣-٣".encode(),
}
_HEADERS = (
    *("Range", "If-Range", "If-None-Match", "If-Match", "If-Modified-Since", "Accept", "Accept-Language"),
    *("User-Agent", "Idempotency-Key", "Last-Event-ID", "X-Request-Id", "Traceparent", "X-Forwarded-For"),
    *(
        "Authorization",
        "X-Gallery-Key",
        "X-Contributor-Key",
        "X-Gallery-Code",
        "X-Gallery-Password",
        "Cookie",
    ),
)
"""Headers that any operation may read, documented or not."""
_MARK = "@planted@"
_GIF = bytes.fromhex("47494638376101000100800100ffffff0000002c00000000010001000002024401003b")
_BOUNDARY = b"hostile"


@dataclass(frozen=True, slots=True)
class Hostile:
    """A request. where: the planted value and its place. target: as on the request line."""

    where: str
    method: str
    target: str
    headers: Mapping[str, bytes]
    body: bytes | None = None


def of_operation(
    operation: Operation, document: Mapping[str, Any], names: Mapping[str, str]
) -> Iterator[Hostile]:
    """Yields the requests. document: the OpenAPI. names: of parts of the world."""
    spec = document["paths"][operation.name.split(" ")[1]][operation.method.lower()]
    yield from _in_path(operation, names)
    if operation.spends:
        return  # the thing would be missing in the next request
    target = quote(operation.target.format(**names))
    sent, headers = _sent(operation, names)
    queried = tuple(each["name"] for each in spec.get("parameters", ()) if each["in"] == "query")
    yield from of_query(operation.method, target, queried, headers=headers, body=sent)
    yield from of_headers(operation.method, target, headers=headers, body=sent)
    for content_type, media in spec.get("requestBody", {}).get("content", {}).items():
        for place, body, typed in _in_body(content_type, media.get("schema", {}), operation, document, names):
            yield Hostile(place, operation.method, target, {"content-type": typed}, body)


def of_form(method: str, target: str, form: Mapping[str, str]) -> Iterator[Hostile]:
    """Yields the form with each field replaced in turn."""
    for place, body in _in_form(form, ()):
        yield Hostile(place, method, target, {"content-type": b"application/x-www-form-urlencoded"}, body)


def of_query(
    method: str,
    target: str,
    names: Iterable[str],
    *,
    texts: Mapping[str, bytes] = TEXTS,
    headers: Mapping[str, bytes] = MappingProxyType({}),
    body: bytes | None = None,
) -> Iterator[Hostile]:
    for name in names:
        for what, value in texts.items():
            planted = f"{target}{'&' if '?' in target else '?'}{quote(name)}={quote(value)}"
            yield Hostile(f"query {name}: {what}", method, planted, headers, body)


def of_headers(
    method: str,
    target: str,
    *,
    headers: Mapping[str, bytes] = MappingProxyType({}),
    body: bytes | None = None,
) -> Iterator[Hostile]:
    for name in _HEADERS:
        for what, value in HEADER_VALUES.items():
            yield Hostile(f"header {name}: {what}", method, target, {**headers, name: value}, body)


def _in_path(operation: Operation, names: Mapping[str, str]) -> Iterator[Hostile]:
    sent, headers = _sent(operation, names)
    templated, given = operation.name.split(" ")[1].split("/"), operation.target.split("/")
    for number, part in enumerate(templated):
        if "{" not in part:
            continue
        for what, value in TEXTS.items():
            planted = [quote(each.format(**names)) for each in given]
            planted[number] = quote(value, safe="")
            target = "/".join(planted)
            yield Hostile(f"path {part}: {what}", operation.method, target, headers, sent)


def _sent(operation: Operation, names: Mapping[str, str]) -> tuple[bytes | None, dict[str, bytes]]:
    """Returns the valid body, and its content type."""
    if operation.form:
        return urlencode(operation.form).encode(), {"content-type": b"application/x-www-form-urlencoded"}
    if operation.json is not None:
        return json.dumps(named(operation.json, names)).encode(), {"content-type": b"application/json"}
    return None, {}


def _in_body(
    content_type: str,
    schema: Mapping[str, Any],
    operation: Operation,
    document: Mapping[str, Any],
    names: Mapping[str, str],
) -> Iterator[tuple[str, bytes, bytes]]:
    """Yields places, bodies and their content types."""
    resolved = _resolved(schema, document)
    if content_type == "application/json":
        right = named(operation.json, names) or {}
        yield from (
            (place, body, content_type.encode()) for place, body in _in_json(resolved, right, document)
        )
    elif content_type == "application/x-www-form-urlencoded":
        for place, body in _in_form(operation.form, resolved.get("properties", ())):
            yield place, body, content_type.encode()
    elif content_type == "multipart/form-data":
        for name in resolved.get("properties", ()):
            for what, value in {
                **TEXTS,
                **{what: text.encode() for what, text in JSON_VALUES.items()},
            }.items():
                yield (
                    f"part {name}: {what}",
                    _multipart(name, value),
                    b"multipart/form-data; boundary=" + _BOUNDARY,
                )


def _in_json(
    schema: Mapping[str, Any], right: Any, document: Mapping[str, Any]
) -> Iterator[tuple[str, bytes]]:
    for what, value in {**JSON_VALUES, **JSON_KEYS}.items():
        yield f"body: {what}", value.encode()
    for path, types in _places(schema, right, document):
        place = ".".join(map(str, path))
        for what, value in {**JSON_VALUES, **JSON_KEYS}.items():
            shapes = [value]
            if "array" in types:
                shapes.append(f"[{value}]")
            if "object" in types:
                shapes.append(f'{{"a": {value}}}')
            for shape in shapes:
                text = json.dumps(_with(right, path, _MARK))
                yield f"body {place}: {what}", text.replace(json.dumps(_MARK), shape).encode()


def _in_form(form: Mapping[str, str], more: Any) -> Iterator[tuple[str, bytes]]:
    for name in dict.fromkeys((*form, *more)):
        for what, value in TEXTS.items():
            yield f"form {name}: {what}", urlencode({**form, name: value}).encode()


def _multipart(name: str, value: bytes) -> bytes:
    head = b"--" + _BOUNDARY + b'\r\ncontent-disposition: form-data; name="'
    field = head + name.encode() + b'"\r\n\r\n' + value + b"\r\n"
    file = head + b'file"; filename="a.gif"\r\ncontent-type: image/gif\r\n\r\n' + _GIF + b"\r\n"
    return field + file + b"--" + _BOUNDARY + b"--\r\n"


def _places(
    schema: Mapping[str, Any], right: Any, document: Mapping[str, Any], path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], set[str]]]:
    """Yields the places for a value, and their documented types."""
    for name, each in schema.get("properties", {}).items():
        found = _resolved(each, document)
        yield (*path, name), _types(found, document)
        inside = right.get(name) if isinstance(right, dict) else None
        if isinstance(inside, list) and inside:
            items = _resolved(found.get("items", {}), document)
            yield (*path, name, 0), _types(items, document)
            yield from _places(items, inside[0], document, (*path, name, 0))


def _types(schema: Mapping[str, Any], document: Mapping[str, Any]) -> set[str]:
    named_types = schema.get("type", ())
    found = {named_types} if isinstance(named_types, str) else set(named_types)
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        found |= _types(_resolved(each, document), document)
    return found


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the referenced schema; of several, the first that has properties."""
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        inner = _resolved(each, document)
        if "properties" in inner or "items" in inner:
            return inner
    return schema


def _with(document: Any, path: tuple[str | int, ...], value: Any) -> Any:
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        return [_with(document[step], rest, value), *document[step + 1 :]]
    return {**document, step: _with(document.get(step), rest, value)}
