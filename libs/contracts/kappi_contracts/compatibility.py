"""Compatibility of JSON Schemas: what a producer writes must fit what a consumer reads.

The schemas are those that msgspec makes, and what other teams write by hand for the same data. A rule of a
reader that is not understood here counts as not fulfilled, because nothing can be promised about it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_DEEPEST = 32
_ANNOTATIONS = frozenset(
    {"$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default"}
    | {"examples", "deprecated", "readOnly", "writeOnly"}
)
_AT_LEAST = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
_AT_MOST = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})
_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (type(None), "null"),
    (list, "array"),
    (dict, "object"),
)


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """Returns the reasons why `new` may not replace `old`, one sentence each; empty if it may.

    Both directions count: old data must fit the new model (no new required field, no narrower type) and new
    data must fit the old model (no field removed or made optional, no wider type). So a field may only be
    added, and only as optional. A default is part of the meaning of old data, so it does not change.
    """
    backward = [f"old data, new model: {reason}" for reason in _Fit(old, new).reasons(names_known=False)]
    forward = [f"new data, old model: {reason}" for reason in unreadable(written=new, read=old)]
    return [*backward, *forward, *_changed_defaults(old, new)]


def unreadable(*, written: Schema, read: Schema) -> list[str]:
    """Returns the reasons why data of the schema `written` may not fit the schema `read`; empty if it always
    does.

    A field that is read must be one that is written, even if it is optional: otherwise a wrong name would
    never be noticed.
    """
    return _Fit(written, read).reasons(names_known=True)


class _Fit:
    """One comparison of two whole schemas, to which their references lead."""

    def __init__(self, written: Schema, read: Schema) -> None:
        self._written = written
        self._read = read
        self._names_known = True

    def reasons(self, *, names_known: bool) -> list[str]:
        """Returns each reason once. names_known: each field that is read must be written."""
        self._names_known = names_known
        return list(dict.fromkeys(self._compare("", self._written, self._read, 0)))

    def _compare(self, path: str, written: Any, read: Any, depth: int) -> Iterator[str]:
        if depth > _DEEPEST:
            yield f"{path or 'schema'}: more than {_DEEPEST} levels are not compared"
            return
        readers = list(_alternatives(read, self._read))
        for each in _alternatives(written, self._written):
            failures = [list(self._one(path, each, reader, depth)) for reader in readers]
            if all(failures):
                # With several readers, the one of the same type explains most.
                same = [
                    found for found, reader in zip(failures, readers, strict=True) if _alike(each, reader)
                ]
                yield from min(same, key=len) if same else [_not_accepted(path, each, readers)]

    def _one(self, path: str, written: Schema, read: Schema, depth: int) -> Iterator[str]:
        where = path or "schema"
        if not _type_fits(written, read):
            yield f"{where}: {_named(written)} is not {_named(read)}"
            return
        for keyword, wanted in read.items():
            if keyword in ("type", "properties", "required", "items", "additionalProperties"):
                continue
            if not _keyword_fits(keyword, wanted, written):
                yield f"{where}: {keyword} {_shown(wanted)} is not promised"
        yield from self._fields(path, written, read, depth)
        if "items" in read:
            yield from self._compare(f"{path}[]", written.get("items", True), read["items"], depth + 1)

    def _fields(self, path: str, written: Schema, read: Schema, depth: int) -> Iterator[str]:
        fields, promised = written.get("properties", {}), written.get("required", ())
        for name in read.get("required", ()):
            if name not in promised:
                yield f"{_under(path, name)}: required, but {'optional' if name in fields else 'not'} sent"
        for name, schema in read.get("properties", {}).items():
            if name in fields:
                yield from self._compare(_under(path, name), fields[name], schema, depth + 1)
            elif self._names_known:
                yield f"{_under(path, name)}: never sent"
        rest = read.get("additionalProperties", True)
        if rest is False and written.get("additionalProperties") is not False:
            yield f"{path or 'schema'}: additionalProperties must be allowed, because fields are added"
        elif rest not in (True, False):
            unnamed = written.get("additionalProperties", True)
            yield from self._compare(f"{path}.*", unnamed, rest, depth + 1)


def _alternatives(schema: Any, root: Schema) -> Iterator[Schema]:
    """Yields the alternatives of a schema without references, each value of an enumeration as a constant."""
    if schema is False:
        return
    plain = {} if schema is True else _resolved(schema, root)
    rest = {key: value for key, value in plain.items() if key not in _ANNOTATIONS}
    for keyword in ("anyOf", "oneOf"):
        if keyword in rest:
            branches = rest.pop(keyword)
            found = [each for branch in branches for each in _alternatives(branch, root)]
            if any(key in each and each[key] != rest[key] for each in found for key in rest):
                yield {**rest, keyword: branches}  # both would apply, which is not compared
            else:
                yield from ({**rest, **each} for each in found)
            return
    if isinstance(rest.get("type"), list):
        for name in rest["type"]:
            yield from _alternatives({**rest, "type": name}, root)
    elif "enum" in rest:
        values = rest.pop("enum")
        for value in values:
            yield {**rest, "const": value}
    else:
        yield rest


def _resolved(schema: Schema, root: Schema) -> Schema:
    seen: set[str] = set()
    while (reference := schema.get("$ref")) is not None:
        target: Any = root
        if reference in seen or not reference.startswith("#"):
            return {"$ref": reference}
        seen.add(reference)
        for part in reference.removeprefix("#").strip("/").split("/"):
            target = target.get(part, {}) if part else target
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema


def _type_of(schema: Schema) -> str | None:
    if "const" in schema:
        return next(name for kind, name in _TYPES if isinstance(schema["const"], kind))
    found: str | None = schema.get("type")
    return found


def _alike(written: Schema, read: Schema) -> bool:
    return _type_of(written) == _type_of(read) and "const" not in written


def _type_fits(written: Schema, read: Schema) -> bool:
    if "const" in read:
        return "const" in written and json.dumps(written["const"]) == json.dumps(read["const"])
    wanted, found = read.get("type"), _type_of(written)
    return wanted is None or wanted == found or (wanted, found) == ("number", "integer")


def _keyword_fits(keyword: str, wanted: Any, written: Schema) -> bool:
    found = written.get(keyword)
    if keyword in _AT_LEAST and isinstance(found, int | float):
        return bool(found >= wanted)
    if keyword in _AT_MOST and isinstance(found, int | float):
        return bool(found <= wanted)
    return bool(keyword in written and found == wanted)


def _changed_defaults(old: Schema, new: Schema) -> Iterator[str]:
    for name, schema in old.get("properties", {}).items():
        now = new.get("properties", {}).get(name)
        if now is not None and ("default" in schema, schema.get("default")) != (
            "default" in now,
            now.get("default"),
        ):
            yield f"{name}: default {_shown(schema.get('default'))} became {_shown(now.get('default'))}"


def _not_accepted(path: str, written: Schema, readers: list[Schema]) -> str:
    known = ", ".join(dict.fromkeys(map(_named, readers))) or "nothing"
    return f"{path or 'schema'}: {_named(written)} is not {known}"


def _named(schema: Schema) -> str:
    if "const" in schema:
        return _shown(schema["const"])
    return _type_of(schema) or "any value"


def _shown(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _under(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
