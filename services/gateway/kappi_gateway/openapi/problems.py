"""Problems as schemas: one `Problem` for all, and per operation the codes that it may answer with."""

from __future__ import annotations

from collections.abc import Mapping

from kappi_chassis.http.app import PROBLEM_SCHEMA, PROBLEM_TITLES
from kappi_chassis.problems import PROBLEM_JSON

from kappi_gateway.openapi.document import SCHEMA_PREFIX, Document, operations_of
from kappi_gateway.openapi.failures import failures_of

_PROBLEM, _FIELD_ERROR = "Problem", "FieldError"


def add_problems(paths: Mapping[str, Document], schemas: Document) -> None:
    """Replaces each inlined problem by a reference. Changes both arguments in place.

    The codes of an operation are the enumeration `<Operation>ProblemCode`, to which `x-problem-codes` refers:
    generators take a `$ref` with anything beside it for an error.
    """
    errors = PROBLEM_SCHEMA["properties"]["errors"]
    schemas[_FIELD_ERROR] = errors["items"]
    fields = {**errors, "items": {"$ref": SCHEMA_PREFIX + _FIELD_ERROR}}
    schemas[_PROBLEM] = {
        **PROBLEM_SCHEMA,
        "properties": {**PROBLEM_SCHEMA["properties"], "errors": fields},
    }
    for operation in operations_of(paths):
        name = operation.get("operationId", "")
        codes = f"{name[:1].upper()}{name[1:]}ProblemCode"
        found: dict[str, None] = {}
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get(PROBLEM_JSON)
            if content is None:
                continue
            content["schema"] = {"$ref": SCHEMA_PREFIX + _PROBLEM}
            found |= dict.fromkeys(failure.code for failure in failures_of(status, answer))
        if found:
            operation["x-problem-codes"] = {"$ref": SCHEMA_PREFIX + codes}
            schemas[codes] = {
                "type": "string",
                "description": f"Codes of the problems that `{name}` answers with.",
                "enum": sorted(found),
            }


def share_problems(document: Document) -> None:
    """Moves each answer that is a problem to `components/responses`, in place; operations refer to it.

    Answers of one status with the same codes are one. Its extension `x-problem-codes` lists the codes.
    """
    shared: Document = {}
    for operation in operations_of(document["paths"]):
        for status, answer in operation["responses"].items():
            if PROBLEM_JSON in answer.get("content", {}):
                codes = [failure.code for failure in failures_of(status, answer)]
                name = ".".join(("Problem", *([status, *codes] if codes else ())))
                shared.setdefault(name, _shared(answer, codes))
                operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
    document["components"]["responses"] = dict(sorted(shared.items()))


def _shared(answer: Document, codes: list[str]) -> Document:
    shown = {name: part for name, part in answer.items() if name != PROBLEM_TITLES}
    return {**shown, "x-problem-codes": codes} if codes else shown
