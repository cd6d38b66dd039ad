"""Describes every fault of a JSON body in words. The decoder stops at the first one and uses its own terms.

It runs only for a refused body of JSON, so a good one costs no second pass, and for every form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from kappi_chassis.http.unknown_fields import SHOWN_ERRORS, shown, unknown_field
from kappi_chassis.problems import FieldError, MalformedJson

MAX_PER_ENTRY: Final = 5
"""The number of faults reported for one file, or one other entry of a list, so that every entry has a place
in the answer.
"""
_MAX_VALUES = 5_000
"""The number of values checked in free-form JSON; a value with more exceeds its limit of bytes anyway."""

_NUL_OR_SURROGATE = re.compile("[\0\ud800-\udfff]")
_TYPES: Final[Mapping[str, str]] = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_expected = re.compile(r"Expected `([^`]+)`, got `([^`]+)`").match
_of_length = re.compile(r"Expected `(str|array)` of length (>=|<=) (\d+)").match
_bounded = re.compile(r"Expected `(?:int|float)` (>=|<=|>|<) (\S+)").match
_BOUNDS: Final[Mapping[str, str]] = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def parsed(body: bytes) -> Any:
    """Returns the JSON of a body. Lone surrogates, which the decoder refuses, are kept. Raises
    MalformedJson.
    """
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise MalformedJson("The body could not be parsed as JSON.") from error


def faults_of(document: Any, model: Any) -> list[FieldError]:
    """Returns the faults of a body that should be a `model`, in the order of the body's fields."""
    return list(_faults(document, model, ""))


def _faults(value: Any, kind: Any, path: str) -> Iterator[FieldError]:
    plain, limits, may_be_null = _unwrapped(kind)
    if value is None and may_be_null:
        return
    if isinstance(plain, type) and issubclass(plain, msgspec.Struct) and isinstance(value, dict):
        yield from _of_fields(value, plain, path)
    elif get_origin(plain) is list and isinstance(value, list):
        fault = _fault(value, _limited(list[Any], limits), path)
        if fault is not None:
            yield fault
            return
        (entry,) = get_args(plain)
        for number, each in enumerate(value):
            yield from islice(_faults(each, entry, _joined(path, number)), MAX_PER_ENTRY)
    elif (fault := _broken(value, path) or _fault(value, _limited(plain, limits), path)) is not None:
        yield fault


def _of_fields(value: Mapping[str, Any], model: type[msgspec.Struct], path: str) -> Iterator[FieldError]:
    fields, hints = _fields(model), _hints(model)
    unknown = (name for name in value if name not in fields)
    yield from (unknown_field(_joined(path, name)) for name in islice(unknown, SHOWN_ERRORS))
    for name, field in fields.items():
        if name in value:
            yield from _faults(value[name], hints[field.name], _joined(path, name))
        elif field.required:
            yield FieldError(field=_joined(path, name), code="missing", message="It is missing.")


def _fault(value: Any, kind: Any, path: str) -> FieldError | None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return FieldError(field=path, code="invalid", message=shown(in_words(str(error), kind)))
    return None


def _broken(value: Any, path: str) -> FieldError | None:
    """Returns the fault of a text that PostgreSQL (NUL) or UTF-8 (half of a surrogate pair) cannot hold."""
    for _, each in islice(walk(value), _MAX_VALUES):
        if isinstance(each, str) and (found := _NUL_OR_SURROGATE.search(each)):
            what = f"the character U+{ord(found[0]):04X}"
            half = "" if found[0] == "\0" else ", half of a surrogate pair"
            return FieldError(field=path, code="invalid", message=f"It may not hold {what}{half}.")
    return None


def in_words(message: str, kind: Any) -> str:
    """Returns the decoder's message about a value that should be a `kind`, in words for a person."""
    if found := _expected(message):
        wanted = " or ".join(_TYPES.get(name, name) for name in found[1].split(" | ") if name != "null")
        return f"It must be {wanted or 'null'}, not {_TYPES.get(found[2], found[2])}."
    if found := _of_length(message):
        one, many = ("character", "characters") if found[1] == "str" else ("entry", "entries")
        return f"It must have {_BOUNDS[found[2]]} {found[3]} {one if found[3] == '1' else many}."
    if found := _bounded(message):
        return f"It must be {_BOUNDS[found[1]]} {found[2]}."
    plain, limits, _ = _unwrapped(kind)
    if get_origin(plain) is Literal:
        return f"It must be one of: {', '.join(str(one) for one in get_args(plain))}."
    if "regex" in message:
        described = [limit.description for limit in limits if limit.description]
        return f"It must be as described: {described[0]}." if described else "It has a wrong form."
    if message.startswith("Invalid UUID"):
        return "It must be an id, as 01985c3e-9d3f-7d4e-b1d2-3c4d5e6f7a8b."
    return message.replace("`", "") + "."


def walk(document: Any) -> Iterator[tuple[int, Any]]:
    """Yields every value and name in a JSON document, with its depth. It does not recurse, because a client
    could exhaust the stack.
    """
    left = [(0, document)]
    while left:
        depth, value = left.pop()
        yield depth, value
        if isinstance(value, dict):
            left += [(depth + 1, part) for pair in value.items() for part in pair]
        elif isinstance(value, list):
            left += [(depth + 1, part) for part in value]


def _unwrapped(kind: Any) -> tuple[Any, Sequence[msgspec.Meta], bool]:
    """Returns the type itself, its limits, and whether null is one of its values."""
    may_be_null = False
    if get_origin(kind) in (Union, UnionType):
        alternatives = get_args(kind)
        may_be_null = NoneType in alternatives
        (kind,) = (each for each in alternatives if each not in (NoneType, msgspec.UnsetType))
    if get_origin(kind) is Annotated:
        plain, *limits = get_args(kind)
        return plain, limits, may_be_null
    return kind, (), may_be_null


def _limited(plain: Any, limits: Sequence[msgspec.Meta]) -> Any:
    for limit in limits:
        plain = Annotated[plain, limit]
    return plain


@cache
def _fields(model: type[msgspec.Struct]) -> Mapping[str, msgspec.structs.FieldInfo]:
    """Returns the fields by their names in JSON."""
    return {field.encode_name: field for field in msgspec.structs.fields(model)}


@cache
def _hints(model: type[msgspec.Struct]) -> Mapping[str, Any]:
    return get_type_hints(model, include_extras=True)


def _joined(path: str, part: str | int) -> str:
    return shown(f"{path}.{part}" if path else str(part))
