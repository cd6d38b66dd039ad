"""The identity service behind the gateway: its routes, its panel, and the requests that reach it."""

from __future__ import annotations

import pytest
from kappi_testkit.gateway.fake_services import Reply, problem_reply
from kappi_testkit.gateway.stack import Stack, StackFactory

ID = "019c0000-0000-7000-8000-000000000003"
ROUTES = [
    ("POST", "/v1/accounts"),
    ("POST", "/v1/oauth/token"),
    ("POST", "/v1/oauth/revoke"),
    ("GET", "/v1/me"),
    ("PATCH", "/v1/me"),
    ("DELETE", "/v1/me"),
    ("PUT", "/v1/me/password"),
    ("GET", "/v1/me/sessions"),
    ("DELETE", f"/v1/me/sessions/{ID}"),
    ("POST", "/v1/password-resets"),
    ("PUT", "/v1/password-resets/abc_DEF-123"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/v1/admin/tiers"),
    ("POST", "/v1/admin/tiers"),
    ("GET", "/v1/admin/tiers/Studio%20Pro"),
    ("PATCH", "/v1/admin/tiers/Studio"),
    ("DELETE", "/v1/admin/tiers/Studio"),
    ("GET", "/v1/admin/accounts"),
    ("PUT", f"/v1/admin/accounts/{ID}/tier"),
]


@pytest.mark.parametrize(("method", "target"), ROUTES)
async def test_a_route_of_identity_reaches_identity(with_accounts: Stack, method: str, target: str) -> None:
    line = with_accounts.bearer()
    body = b"a=b" if method in ("POST", "PUT", "PATCH") else b""
    form = "Content-Type: application/x-www-form-urlencoded"
    answer = await with_accounts.ask(method, target, line, form, "X-Gallery-Key: k", "Cookie: a=b", body=body)
    seen = with_accounts.identity.seen[-1]
    assert (answer.status, seen.method, seen.raw_path, seen.body) == (200, method, target.encode(), body)
    assert f"Authorization: {seen.headers['authorization']}" == line
    assert seen.headers["x-forwarded-for"] == "127.0.0.1"
    assert {"cookie", "x-gallery-key"}.isdisjoint(seen.headers)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert with_accounts.galleries.seen == with_accounts.media.seen == []


@pytest.mark.parametrize(
    ("method", "target"), [*ROUTES, ("GET", "/admin"), ("POST", "/admin/login"), ("GET", "/reset-password")]
)
async def test_without_identity_its_paths_are_not_found(stack: Stack, method: str, target: str) -> None:
    answer = await stack.ask(method, target)
    assert (answer.status, answer.code, stack.identity.seen) == (404, "not_found", [])


async def test_the_client_address_from_a_proxy_is_passed_on(make_stack: StackFactory) -> None:
    stack = await make_stack(accounts=True, trusted_proxies="127.0.0.0/8")
    for target in ("/v1/me", "/admin", "/reset-password"):
        await stack.ask("GET", target, "X-Forwarded-For: 6.6.6.6, 2.2.2.2", "X-Forwarded-Proto: https")
        headers = stack.identity.seen[-1].headers
        assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("2.2.2.2", "https")


async def test_sign_ups_are_limited_and_taken_addresses_count(make_stack: StackFactory) -> None:
    stack = await make_stack(accounts=True, sign_up_burst=2, sign_ups_per_hour=60)
    stack.identity.always(problem_reply(422, "validation_failed"))
    for _ in range(4):
        assert (await stack.ask("POST", "/v1/accounts", body=b"{}")).status == 422
    stack.identity.always(Reply(status=201))
    assert (await stack.ask("POST", "/v1/accounts", body=b"{}")).status == 201
    stack.identity.always(problem_reply(409, "email_taken"))
    assert (await stack.ask("POST", "/v1/accounts", body=b"{}")).status == 409
    refused = await stack.ask("POST", "/v1/accounts", body=b"{}")
    assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, "too_many_accounts", "60")


async def test_cookies_and_origin_of_the_panel_are_passed_on(with_accounts: Stack) -> None:
    with_accounts.identity.always(
        Reply(
            status=303,
            body=b"",
            headers=(
                (b"location", b"/admin/tier/list"),
                (b"set-cookie", b"session=1; HttpOnly; SameSite=Strict"),
                (b"set-cookie", b"flash=2"),
            ),
        )
    )
    answer = await with_accounts.ask(
        "POST",
        "/admin/login?next=%2Fadmin%2F",
        "Cookie: session=0",
        "Origin: http://kappi.example",
        "Sec-Fetch-Site: same-origin",
        "X-CSRFToken: c",
        "Content-Type: application/x-www-form-urlencoded",
        "Authorization: Bearer t",
        "X-Kappi-Grant: forged",
        "X-Forwarded-Host: evil.example",
        body=b"username=a&password=b",
    )
    seen = with_accounts.identity.seen[-1]
    assert (seen.raw_path, seen.query, seen.body) == (
        b"/admin/login",
        b"next=%2Fadmin%2F",
        b"username=a&password=b",
    )
    sent = {name: seen.headers[name] for name in ("cookie", "origin", "x-forwarded-host", "x-csrftoken")}
    assert sent == {
        "cookie": "session=0",
        "origin": "http://kappi.example",
        "x-forwarded-host": "kappi.example",
        "x-csrftoken": "c",
    }
    assert {"authorization", "x-kappi-grant"}.isdisjoint(seen.headers)
    assert (answer.status, answer.headers["location"]) == (303, "/admin/tier/list")
    assert answer.headers["set-cookie"] == "session=1; HttpOnly; SameSite=Strict,flash=2"


async def test_pages_of_other_origins_cannot_read_the_panel(with_accounts: Stack) -> None:
    answer = await with_accounts.ask("GET", "/admin/", "Origin: https://evil.example")
    assert "access-control-allow-origin" not in answer.headers
    assert (await with_accounts.ask("DELETE", "/admin/tier")).status == 405
    preflight = await with_accounts.ask("OPTIONS", "/admin/login", "Origin: https://evil.example")
    assert (preflight.status, preflight.code) == (405, "method_not_allowed")
    assert "access-control-allow-origin" not in preflight.headers


@pytest.mark.parametrize(
    "target",
    ["/admin/../internal/x", "/admin/%2e%2e/internal/x", "/admin/a%2F..%2F..%2Fv1/me", "/admin/..%5cx"],
)
async def test_paths_outside_the_panel_are_refused(with_accounts: Stack, target: str) -> None:
    answer = await with_accounts.ask("GET", target)
    assert (answer.status, answer.code, with_accounts.identity.seen) == (404, "not_found", [])


async def test_paths_that_only_begin_like_the_panel_are_not_found(with_accounts: Stack) -> None:
    assert (await with_accounts.ask("GET", "/administrators")).status == 404
    assert with_accounts.identity.seen == []


async def test_forms_of_the_panel_have_a_limit(make_stack: StackFactory) -> None:
    stack = await make_stack(accounts=True, json_body_limit_bytes=10)
    answer = await stack.ask("POST", "/admin/login", body=b"x" * 11)
    assert (answer.status, answer.code, stack.identity.seen) == (413, "payload_too_large", [])


async def test_following_a_link_sends_no_credential(with_accounts: Stack) -> None:
    with_accounts.media.always(
        Reply(status=302, body=b"", headers=((b"location", b"https://store.example/x?sig=1"),))
    )
    answer = await with_accounts.ask(
        "GET", "/v1/l/abc_DEF-123", "Authorization: Bearer nonsense", "X-Gallery-Key: k"
    )
    assert (answer.status, answer.headers["location"]) == (302, "https://store.example/x?sig=1")
    headers = with_accounts.media.seen[-1].headers
    assert {"authorization", "x-gallery-key", "x-kappi-grant"}.isdisjoint(headers)
    assert with_accounts.galleries.seen == []


async def test_guessing_links_counts_together_with_guessing_codes(make_stack: StackFactory) -> None:
    stack = await make_stack(guess_burst=2)
    stack.media.always(problem_reply(410, "link_expired"))
    for _ in range(3):
        assert (await stack.ask("GET", "/v1/l/once-good")).code == "link_expired"
    stack.media.always(problem_reply(404, "link_not_found"))
    for _ in range(2):
        assert (await stack.ask("GET", "/v1/l/guess")).status == 404
    assert (await stack.ask("GET", "/v1/l/guess")).code == "too_many_guesses"
    assert (await stack.ask("GET", "/v1/g/abcd")).code == "too_many_guesses"
