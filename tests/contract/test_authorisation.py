"""The authorisation matrix has every documented operation, and docs/authorisation.md is generated from it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kappi_gateway.routes import ROUTES, Credential

from tests.contract.test_openapi import DOCUMENT, DOCUMENTED, documented_codes
from tests.e2e.authorisation import BAD_TOKEN, BAD_TOKENS, OPERATIONS, Caller, Kind, Operation
from tests.e2e.authorisation_page import page

PAGE = Path(__file__).parents[2] / "docs" / "authorisation.md"
REFRESH = "KAPPI_TEST_REFRESH_AUTHORISATION"
_CREDENTIALS = {f"{route.method} {route.template}": route.credential for route in ROUTES}


def test_the_matrix_has_every_operation_once() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(names) == len(set(names))
    assert set(names) == DOCUMENTED == set(_CREDENTIALS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_answer_of_the_matrix_is_documented(operation: Operation) -> None:
    for caller in Caller:
        for kind in operation.kinds:
            status, _, code = operation.expected(caller, kind).partition(" ")
            method, path = operation.name.lower().split(" ", 1)
            assert status in DOCUMENT["paths"][path][method]["responses"], (caller, kind, status)
            if code:
                assert code in documented_codes(operation.name, int(status)), (caller, kind, code)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_no_rule_permits_too_much(operation: Operation) -> None:
    """Looks for rights that no rule may give."""
    may = {kind: {each for each in Caller if operation.may(each, kind)} for kind in operation.kinds}
    assert any(may.values()), "some caller must be allowed"
    credential = _CREDENTIALS[operation.name]
    if credential in {Credential.MANAGER, Credential.UPLOADER, Credential.VIEWER}:
        strangers = {Caller.NOBODY, Caller.FOREIGN_KEY, Caller.FOREIGN_CONTRIBUTOR, Caller.ADMIN}
        for kind, callers in may.items():
            assert not callers & {*strangers, *BAD_TOKENS}
            assert {operation.expected(each, kind) for each in BAD_TOKENS} == {BAD_TOKEN}
            if credential is Credential.MANAGER:
                assert Caller.CONTRIBUTOR not in callers
    if credential not in {Credential.NONE, Credential.ACCOUNT}:
        assert may[Kind.PRIVATE] <= {Caller.OWNER}
    if credential is Credential.ACCOUNT:
        assert may[Kind.SHARED] == {Caller.OWNER, Caller.OTHER, Caller.CLAIMANT, Caller.ADMIN}
    if operation.target.startswith("/v1/admin/"):
        assert may[Kind.SHARED] == {Caller.ADMIN}


def test_the_page_is_generated_from_the_matrix() -> None:
    if os.environ.get(REFRESH):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page(), (
        f"docs/authorisation.md is out of date. Write it again, and look at the difference:\n"
        f"  {REFRESH}=1 .venv/bin/pytest tests/contract/test_authorisation.py -k page"
    )
