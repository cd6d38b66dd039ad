"""Every documented operation, fed with generated requests: no 500, nothing undocumented, only problems."""

from __future__ import annotations

import json
import urllib.request
import uuid
from collections.abc import Collection
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.e2e.stacks import StackUnderTest

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
PROBLEM_MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}
_each_depth = pytest.mark.parametrize("examples", [3, pytest.param(15, marks=pytest.mark.slow)])


@pytest.fixture(scope="module")
def key(stack: StackUnderTest) -> dict[str, str]:
    """An anonymous gallery's credentials."""
    made = _post(f"{stack.base_url}/v1/galleries", {"title": "Generated"})
    return {"X-Gallery-Key": made["access_key"], "X-Gallery-Code": made["code"]}


@pytest.fixture(scope="module")
def bearer(stack: StackUnderTest) -> dict[str, str]:
    """A fresh account's access token."""
    email, password = f"{uuid.uuid4().hex}@example.com", uuid.uuid4().hex
    _post(f"{stack.base_url}/v1/accounts", {"email": email, "password": password})
    form = f"grant_type=password&username={email.replace('@', '%40')}&password={password}".encode()
    token = _send(f"{stack.base_url}/v1/oauth/token", form, "application/x-www-form-urlencoded")
    return {"Authorization": f"Bearer {token['access_token']}"}


@pytest.fixture(scope="module")
def surface(stack: StackUnderTest) -> Any:
    return schemathesis.openapi.from_url(f"{stack.base_url}/openapi.json")


@_each_depth
def test_as_nobody(surface: Any, examples: int) -> None:
    _exercise(surface, {}, examples=examples)


@_each_depth
def test_with_the_key_of_a_gallery(surface: Any, key: dict[str, str], examples: int) -> None:
    _exercise(surface, key, examples=examples)


@_each_depth
def test_as_an_account(surface: Any, bearer: dict[str, str], examples: int) -> None:
    # Deleting the account would end what the other calls act as.
    _exercise(surface, bearer, examples=examples, but={("DELETE", "/v1/me")})


def _exercise(
    surface: Any, credentials: dict[str, str], *, examples: int, but: Collection[tuple[str, str]] = ()
) -> None:
    """Each operation on its own, so that one that fails does not hide the others. examples: of each."""
    drawn = settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    failures = []
    for found in surface.get_all_operations():
        operation = found.ok()
        if (operation.method.upper(), operation.path) in but:
            continue

        @drawn
        @given(case=operation.as_strategy())
        def run(case: Any) -> None:
            _call(case, credentials)

        try:
            run()
        except Exception as failure:  # noqa: BLE001 - told below, operation by operation
            failure.add_note(f"{operation.method.upper()} {operation.path}")
            failures.append(failure)
    if failures:
        raise ExceptionGroup("operations that do not keep to their document", failures)


def _call(case: Any, credentials: dict[str, str]) -> None:
    response = case.call(headers=credentials, allow_redirects=False, timeout=20)
    case.validate_response(response, checks=CHECKS)
    if response.status_code >= 400:
        assert response.headers["content-type"][0].startswith("application/problem+json"), (
            response.status_code
        )
        document = json.loads(response.content)
        assert document.keys() >= PROBLEM_MEMBERS
        assert document["status"] == response.status_code


def _post(url: str, body: dict[str, str]) -> Any:
    return _send(url, json.dumps(body).encode(), "application/json")


def _send(url: str, body: bytes, content_type: str) -> Any:
    request = urllib.request.Request(url, data=body, headers={"content-type": content_type})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)
