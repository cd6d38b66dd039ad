"""Properties of docs/openapi.json that generators of clients need, and the validity of its examples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
import pytest
from kappi_chassis.observability.secret_shapes import SHAPES

from tests.contract.test_openapi import DOCUMENT
from tests.e2e.recording import STAND_INS

SCHEMAS: Mapping[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS = {
    operation["operationId"]: operation
    for operations in DOCUMENT["paths"].values()
    for operation in operations.values()
}
_PROBLEM = "application/problem+json"
_TIME = re.compile(r"(?:_at|^hour)$")
_AMOUNT = re.compile(r"(?:^|_)(?:size|bytes|count)$")
_NO_TOKENS = re.compile("|".join(SHAPES[name] for name in ("access key", "token behind a prefix", "JWT")))
_by_operation = pytest.mark.parametrize("name", OPERATIONS)


def _fields() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for name, schema in SCHEMAS.items():
        for field, value in schema.get("properties", {}).items():
            yield name, field, value


def _every(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _every(each)


def _types(schema: Mapping[str, Any]) -> list[str]:
    types = schema.get("type", [])
    return types if isinstance(types, list) else [types]


def fits(schema: Mapping[str, Any], value: Any) -> list[str]:
    """Yields the differences between the value and the schema."""
    whole = {**schema, "components": DOCUMENT["components"]}
    validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    return [
        f"{'/'.join(map(str, error.instance_path))}: {error.message}"
        for error in validator.iter_errors(value)
    ]


def test_every_size_and_count_has_64_bits_and_every_number_a_format() -> None:
    amounts = [(name, field) for name, field, _ in _fields() if _AMOUNT.search(field)]
    assert ("Item", "size") in amounts
    assert ("Quota", "limit_bytes") in amounts
    for name, field, value in _fields():
        if _AMOUNT.search(field):
            assert value["format"] == "int64", (name, field)
    for schema in _every([SCHEMAS, DOCUMENT["paths"]]):
        if "integer" in _types(schema):
            assert schema["format"] in {"int32", "int64"}, schema
        if "number" in _types(schema):
            assert schema["format"] == "double", schema


def test_no_value_of_an_enumeration_has_the_name_of_a_member_of_every_enumeration() -> None:
    """Kotlin refuses an entry `name`: its generator names entries by their values."""
    values = {value for schema in _every(SCHEMAS) for value in schema.get("enum", ())}
    assert "filename" in values
    assert values.isdisjoint({"name", "ordinal", "values", "entries"})


def test_no_array_of_an_unnamed_enumeration_is_a_set() -> None:
    """The generated Java does not compile: it reads the set's values as texts."""
    arrays = [schema for schema in _every([SCHEMAS, DOCUMENT["paths"]]) if "array" in _types(schema)]
    assert any("enum" in schema["items"] for schema in arrays)
    assert not [each for each in arrays if "enum" in each["items"] and each.get("uniqueItems")]


def test_every_time_is_a_date_time() -> None:
    times = [(name, field, value) for name, field, value in _fields() if _TIME.search(field)]
    assert {name for name, _, _ in times} >= {"Item", "Gallery", "SignedUrl", "Access", "Session"}
    for name, field, value in times:
        assert value["format"] == "date-time", (name, field)
    for operation in OPERATIONS.values():
        for parameter in operation.get("parameters", ()):
            if parameter["name"].startswith(("taken_", "uploaded_")):
                assert parameter["schema"]["format"] == "date-time"


def test_there_is_one_problem_schema_and_each_operation_lists_its_codes() -> None:
    for name, operation in OPERATIONS.items():
        described: set[str] = set()
        for status, answer in operation["responses"].items():
            if _PROBLEM in answer.get("content", {}):
                assert answer["content"][_PROBLEM]["schema"] == {"$ref": "#/components/schemas/Problem"}
                described |= set(answer.get("x-problem-codes", ()))
                assert status == "default" or answer["content"][_PROBLEM]["examples"]
        codes = operation["x-problem-codes"]["$ref"].rpartition("/")[2]
        assert codes == f"{name[0].upper()}{name[1:]}ProblemCode"
        assert set(SCHEMAS[codes]["enum"]) == described


def test_schema_names_are_simple_and_not_combined() -> None:
    assert not [name for name in SCHEMAS if name.endswith(("Answer", "View"))]
    assert not [name for name in SCHEMAS if name.startswith(("Galleries", "Media", "Identity"))]


def test_no_parameter_is_null_and_no_field_has_a_default() -> None:
    for operation in OPERATIONS.values():
        for parameter in operation.get("parameters", ()):
            assert "null" not in json.dumps(parameter["schema"]), parameter
            if parameter["name"] == "limit":
                assert parameter["schema"]["type"] == "integer"
    assert not [(name, field) for name, field, value in _fields() if "default" in value]


@_by_operation
def test_each_answer_of_an_operation_has_a_valid_example(name: str) -> None:
    operation = OPERATIONS[name]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None:
        examples = [body["example"]] if "example" in body else body["schema"].get("examples", [])
        assert examples or "$ref" in json.dumps(body["schema"]), "no example of its body"
        assert [fault for each in examples for fault in fits(body["schema"], each)] == []
    for status, answer in operation["responses"].items():
        content = answer.get("content", {}).get("application/json")
        if content is not None:
            assert "example" in content, f"no example of {status}"
            assert fits(content["schema"], content["example"]) == []


def test_the_examples_of_problems_are_valid_and_have_their_code() -> None:
    shown: Mapping[str, Any] = DOCUMENT["components"]["examples"]
    listed = {
        code for name, schema in SCHEMAS.items() if name.endswith("ProblemCode") for code in schema["enum"]
    }
    assert shown.keys() == listed
    for code, example in shown.items():
        assert example["value"]["code"] == code
        assert fits({"$ref": "#/components/schemas/Problem"}, example["value"]) == [], code


def test_no_example_contains_a_real_secret_or_a_local_address() -> None:
    text = json.dumps(DOCUMENT, ensure_ascii=False)
    assert "127.0.0.1" not in text
    for node in _every([operation.get("responses") for operation in OPERATIONS.values()]):
        if "example" in node:
            assert not _NO_TOKENS.search(json.dumps(node["example"], ensure_ascii=False))
            for field, value in ((f, v) for each in _every(node["example"]) for f, v in each.items()):
                assert field not in STAND_INS or value in (None, STAND_INS[field]), field
