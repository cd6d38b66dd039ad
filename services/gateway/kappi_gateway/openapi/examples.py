"""Examples in the document: requests and answers recorded in test runs (`examples.json`)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from kappi_chassis.problems import PROBLEM_JSON

from kappi_gateway.openapi.document import Document, operations_of
from kappi_gateway.openapi.failures import failures_of

_JSON = "application/json"


def add_examples(document: Document) -> None:
    """Adds the examples in place.

    A problem's example is named after its code; one that was never recorded is built from its code and title.
    """
    recorded = _recorded()
    shown: Document = {}
    for operation in operations_of(document["paths"]):
        example = recorded["operations"].get(operation.get("operationId"), {})
        _show(operation.get("requestBody", {}), example.get("request"))
        for status, answer in operation["responses"].items():
            _show(answer, example.get("answers", {}).get(status))
            failures = failures_of(status, answer)
            for failure in failures:
                problem = recorded["problems"].get(failure.code) or _made_up(*failure)
                shown.setdefault(failure.code, problem)
            if failures:
                answer["content"][PROBLEM_JSON]["examples"] = {
                    failure.code: {"$ref": f"#/components/examples/{failure.code}"} for failure in failures
                }
    document["components"]["examples"] = {
        code: {"summary": problem["title"], "value": problem} for code, problem in sorted(shown.items())
    }


def _show(carrier: Document, example: Any) -> None:
    if example is not None and _JSON in carrier.get("content", {}):
        carrier["content"][_JSON]["example"] = example


def _made_up(status: int, code: str, title: str) -> Document:
    return {
        "type": f"urn:kappi:problem:{code}",
        "title": title,
        "status": status,
        "detail": title,
        "code": code,
        "request_id": "3f0a6c1d9b2e4f7a8c5d6e7f8091a2b3",
    }


@cache
def _recorded() -> Document:
    text = files(__package__).joinpath("examples.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, Any])
