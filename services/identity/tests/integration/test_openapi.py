"""Every endpoint is described in words, with its problem codes and examples."""

from __future__ import annotations

from typing import Any

import pytest

_CALLER = {"credentials_missing", "access_token_invalid"}
_ADMIN = {*_CALLER, "admin_required"}
_WEBHOOK = {*_CALLER, "webhook_not_found", "validation_failed"}
PUBLIC: dict[tuple[str, str], set[str]] = {
    ("/v1/accounts", "post"): {
        *("malformed_json", "validation_failed", "email_taken", "busy"),
        *("idempotency_key_invalid", "idempotency_key_reused"),
    },
    ("/v1/oauth/token", "post"): {
        *("invalid_request", "invalid_grant", "account_suspended", "unsupported_grant_type"),
        *("too_many_logins", "busy"),
    },
    ("/v1/oauth/revoke", "post"): {"invalid_request"},
    ("/v1/me", "get"): _CALLER,
    ("/v1/me", "patch"): {*_CALLER, "malformed_json", "validation_failed"},
    ("/v1/me", "delete"): {
        *_CALLER,
        *("malformed_json", "validation_failed", "password_required", "password_wrong"),
        *("too_many_logins", "busy"),
    },
    ("/v1/me/password", "put"): {
        *_CALLER,
        *("malformed_json", "validation_failed", "password_wrong", "too_many_logins", "busy"),
    },
    ("/v1/me/sessions", "get"): {*_CALLER, "validation_failed"},
    ("/v1/me/sessions/{session_id}", "delete"): {*_CALLER, "session_not_found", "validation_failed"},
    ("/v1/webhooks", "post"): {
        *_CALLER,
        *("malformed_json", "validation_failed", "invalid_webhook_url", "webhook_limit_reached"),
        *("idempotency_key_invalid", "idempotency_key_reused"),
    },
    ("/v1/webhooks", "get"): {*_CALLER, "validation_failed"},
    ("/v1/webhooks/{webhook_id}", "get"): _WEBHOOK,
    ("/v1/webhooks/{webhook_id}", "patch"): {*_WEBHOOK, "malformed_json", "invalid_webhook_url"},
    ("/v1/webhooks/{webhook_id}", "delete"): _WEBHOOK,
    ("/v1/webhooks/{webhook_id}/deliveries", "get"): _WEBHOOK,
    ("/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/resend", "post"): {
        *_WEBHOOK,
        *("delivery_not_found", "webhook_disabled", "idempotency_key_invalid", "idempotency_key_reused"),
    },
    ("/v1/password-resets", "post"): {"malformed_json", "validation_failed", "too_many_resets"},
    ("/v1/password-resets/{token}", "put"): {
        *("malformed_json", "validation_failed", "reset_token_invalid", "busy"),
    },
    ("/.well-known/jwks.json", "get"): set(),
    ("/v1/admin/tiers", "get"): _ADMIN,
    ("/v1/admin/tiers", "post"): {*_ADMIN, "malformed_json", "validation_failed", "tier_taken"},
    ("/v1/admin/tiers/{name}", "get"): {*_ADMIN, "tier_not_found"},
    ("/v1/admin/tiers/{name}", "patch"): {*_ADMIN, "malformed_json", "validation_failed", "tier_not_found"},
    ("/v1/admin/tiers/{name}", "delete"): {*_ADMIN, "tier_not_found", "tier_in_use", "tier_protected"},
    ("/v1/admin/accounts", "get"): {*_ADMIN, "validation_failed"},
    ("/v1/admin/accounts/{account_id}/tier", "put"): {
        *_ADMIN,
        *("malformed_json", "validation_failed", "account_not_found", "tier_not_found"),
        "tier_not_for_accounts",
    },
    ("/v1/admin/accounts/{account_id}/suspension", "put"): {
        *_ADMIN,
        *("malformed_json", "validation_failed", "account_not_found", "admin_not_suspendable"),
    },
    ("/v1/admin/accounts/{account_id}/suspension", "delete"): {
        *_ADMIN,
        *("validation_failed", "account_not_found"),
    },
    ("/v1/admin/takedowns", "get"): {*_ADMIN, "validation_failed"},
    ("/v1/admin/takedowns", "post"): {
        *_ADMIN,
        *("malformed_json", "validation_failed", "idempotency_key_invalid", "idempotency_key_reused"),
    },
    ("/v1/admin/takedowns/{takedown_id}", "delete"): {*_ADMIN, "validation_failed", "takedown_not_found"},
}


@pytest.fixture
async def document(http: Any) -> Any:
    answer = await http("GET", "/internal/openapi.json")
    assert answer.status == 200
    return answer.json


async def test_nothing_is_undescribed(document: Any) -> None:
    operations = {
        (path, method): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert set(operations) == set(PUBLIC)
    for operation in operations.values():
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]
    assert len({operation["operationId"] for operation in operations.values()}) == len(operations)


@pytest.mark.parametrize(("operation", "codes"), PUBLIC.items(), ids=[" ".join(key) for key in PUBLIC])
async def test_the_problem_codes_of_every_operation_are_named(
    document: Any, operation: tuple[str, str], codes: set[str]
) -> None:
    path, method = operation
    responses = document["paths"][path][method]["responses"]
    words = " ".join(response["description"] for response in responses.values())
    assert {code for code in codes if f"`{code}`" not in words} == set()
    assert all(
        "application/problem+json" in response["content"]
        for status, response in responses.items()
        if status >= "4"
    )


async def test_the_access_token_is_a_security_scheme_and_bodies_have_examples(document: Any) -> None:
    scheme = document["components"]["securitySchemes"]["AccessToken"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    secured = {
        (path, method)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if operation.get("security") == [{"AccessToken": []}]
    }
    assert secured == {key for key, codes in PUBLIC.items() if "credentials_missing" in codes}
    schemas = document["components"]["schemas"]
    for name in (
        "AccountCreate",
        "AccountPatch",
        "WebhookCreate",
        "WebhookPatch",
        "TierCreate",
        "TierPatch",
        "TierChoice",
        "TierAnswer",
    ):
        assert schemas[name]["examples"], name
    form = document["paths"]["/v1/oauth/token"]["post"]["requestBody"]["content"]
    assert set(form) == {"application/x-www-form-urlencoded"}
