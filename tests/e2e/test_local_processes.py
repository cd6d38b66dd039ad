"""What a program on the same machine may do without the deployment's secrets: nothing behind the gateway."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.e2e.phone import Phone
from tests.e2e.stacks import StackUnderTest

_SERVICES = ("identity", "galleries", "media", "store")


@pytest.mark.parametrize("service", _SERVICES)
async def test_a_service_answers_nobody_but_the_other_services(
    service: str, stack: StackUnderTest, phone: Phone
) -> None:
    """Not its internal paths, and none of the public ones: there the gateway's limits would be missing."""
    url = stack.service_url(service)
    spoofed = {"X-Forwarded-For": "203.0.113.9", "X-Kappi-Role": "admin"}
    for headers in ({}, spoofed, {"X-Kappi-Internal": "a-secret-that-was-guessed"}):
        for method, path in (
            ("GET", "/internal/openapi.json"),
            ("GET", f"/internal/media/{uuid4()}"),
            ("POST", "/internal/grants/view"),
            ("POST", "/v1/galleries"),
            ("POST", "/v1/oauth/token"),
            ("GET", "/.well-known/jwks.json"),
            ("GET", "/store/galleries/x"),
            ("GET", "/internal/store-events/"),
        ):
            (await phone.ask(method, url + path, headers=headers)).problem(401, "caller_unknown")
    assert (
        "kappi_http_refused_callers_total"
        in (await phone.ask("GET", f"{stack.ops_url(service)}/metrics")).body.decode()
    )


async def test_a_client_cannot_introduce_itself_through_the_gateway(
    stack: StackUnderTest, phone: Phone
) -> None:
    """What a client sends under that name goes no further, right or wrong, and the call is served as ever."""
    for headers in ({"X-Kappi-Internal": "a-secret-that-was-guessed"}, stack.running.introduction):
        gallery = (await phone.ask("POST", "/v1/galleries", json={"title": "A"}, headers=headers)).ok(201)
        assert (await phone.ask("GET", f"/v1/g/{gallery['code']}", headers=headers)).status == 200
        (await phone.ask("GET", "/internal/jwks.json", headers=headers)).problem(404, "not_found")


async def test_no_ops_port_tells_a_secret(stack: StackUnderTest, phone: Phone) -> None:
    secrets = {
        path.read_text().strip() for path in (stack.running.data_dir / "secrets").iterdir() if path.is_file()
    }
    assert set(stack.running.introduction.values()) <= secrets
    for service in ("gateway", "janitor", *_SERVICES):
        for path in ("/healthz", "/readyz", "/metrics", "/"):
            told = (await phone.ask("GET", stack.ops_url(service) + path)).body.decode()
            assert not [secret for secret in secrets if secret in told], (service, path)
