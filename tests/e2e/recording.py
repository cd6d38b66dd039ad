"""Records the examples of the OpenAPI document from the requests and answers of tests.

`make examples` records them, then `make docs` refreshes docs/openapi.json, which contains them.

The answer that shows most fields of an operation is kept, and the problem that names most errors of a code.
Operations that the run does not call keep their examples, and so do those whose fields are the same as
before, because ids, times and names differ in every run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kappi_gateway.routes import ROUTES

REFRESH = "KAPPI_TEST_REFRESH_EXAMPLES"
_ROOT = Path(__file__).parents[2]
COMMITTED = _ROOT / "services/gateway/kappi_gateway/openapi/examples.json"
HOST = "https://kappi.example"
STAND_INS: Mapping[str, str] = {
    "access_key": "kappi_…",
    "contributor_key": "kappi_…",
    "access_token": "eyJ…",
    "refresh_token": "kappi_rt_…",
    "device_token": "kappi_dt_…",
    "link": f"{HOST}/v1/l/…",
    "secret": "whsec_…",
    "password": "correct horse battery staple",
    "current_password": "correct horse battery staple",
    "content_base64": "iVBORw0KGgo…",
}
"""Replacements of secrets, by field name."""
_MOST_ENTRIES = 2
_ORIGIN = re.compile(r"http://127\.0\.0\.1:\d+")
_SIGNATURE = re.compile(r"((?:X-Amz-Signature|signature|sig)=)[^&]+", re.IGNORECASE)
_ROUTES = [
    (route, re.compile(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(route.template)) + r"(?:\?.*)?"))
    for route in ROUTES
]


class Recording:
    """The examples of one test run."""

    def __init__(self) -> None:
        document = json.loads((_ROOT / "docs/openapi.json").read_text())
        self._ids = {
            (method.upper(), path): operation["operationId"]
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
        }
        self._operations: dict[str, dict[str, Any]] = {}
        self._problems: dict[str, Any] = {}

    def record(
        self, method: str, url: str, *, sent: Any, status: int, content_type: str, body: bytes
    ) -> None:
        name = self._operation(method, url)
        if name is None:
            return
        if content_type == "application/problem+json":
            problem = shown(json.loads(body))
            known = self._problems.get(problem["code"])
            if known is None or _worth(problem) > _worth(known):
                self._problems[problem["code"]] = problem
        elif status < 300:
            kept = self._operations.setdefault(name, {"answers": {}})
            if isinstance(sent, dict) and sent and _worth(sent) > _worth(kept.get("request", {})):
                kept["request"] = shown(sent)
            if content_type == "application/json":
                document, answers = json.loads(body), kept["answers"]
                if str(status) not in answers or _worth(document) > _worth(answers[str(status)]):
                    answers[str(status)] = shown(document)

    def write(self) -> None:
        """Writes the examples into the committed file."""
        examples = json.loads(COMMITTED.read_text())
        for part, recorded in (("operations", self._operations), ("problems", self._problems)):
            known = examples[part]
            known |= {
                name: each for name, each in recorded.items() if _fields(each) != _fields(known.get(name))
            }
        ordered = {part: dict(sorted(each.items())) for part, each in examples.items()}
        COMMITTED.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")

    def _operation(self, method: str, url: str) -> str | None:
        for route, matches in _ROUTES:
            if route.method == method and matches.fullmatch(url):
                return self._ids.get((method, route.template))
        return None


def shown(value: Any, name: str = "") -> Any:
    """Returns the value without secrets and local addresses, and with only the first entries of lists."""
    if isinstance(value, dict):
        return {key: shown(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [shown(each) for each in value[:_MOST_ENTRIES]]
    if not isinstance(value, str):
        return value
    if name in STAND_INS:
        return STAND_INS[name]
    return _SIGNATURE.sub(r"\1…", _ORIGIN.sub(HOST, value))


def _fields(value: Any, path: str = "") -> set[str]:
    """Returns the paths of the fields, also of those that are null: a new one makes an example outdated."""
    if isinstance(value, dict):
        return {field for key, each in value.items() for field in _fields(each, f"{path}.{key}")}
    if isinstance(value, list):
        return {field for each in value for field in _fields(each, f"{path}[]")}
    return {path}


def _worth(value: Any) -> int:
    """Returns the number of fields that are neither null nor empty."""
    if isinstance(value, dict):
        return sum(1 + _worth(each) for each in value.values() if each not in (None, "", [], {}))
    if isinstance(value, list):
        return max((_worth(each) for each in value), default=0)
    return 0


RECORDING = Recording() if os.environ.get(REFRESH) else None
