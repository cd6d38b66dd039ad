"""A service answers only callers with the deployment's secret."""

from __future__ import annotations

from typing import Any

import pytest
from kappi_chassis.http.edge import Message, Receive, Scope, Send
from kappi_chassis.http.internal import HEADER, internal_headers, only_internal
from kappi_chassis.observability import metrics
from kappi_chassis.settings import PlatformSettings, SecretMissing, ServiceSettings
from msgspec import json
from pydantic import ValidationError
from structlog.testing import capture_logs

OLD, NEW = "the-old-secret-of-all", "the-new-secret-of-all"


class _Settings(ServiceSettings):
    port: int = 1
    ops_port: int = 2


def _platform(secrets: str) -> PlatformSettings:
    return PlatformSettings.model_validate({"internal_secret": secrets})


async def _app(_: Scope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})


async def _ask(app: Any, path: bytes = b"/v1/things", *headers: tuple[bytes, bytes]) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("a body is not read before the caller is known")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "raw_path": path,
        "headers": list(headers),
        "client": ("::1", 1),
    }
    await app(scope, receive, send)
    return sent


def _guarded(*secrets: str, host: str = "0.0.0.0", but: tuple[bytes, ...] = ()) -> Any:
    return only_internal(_app, _platform(",".join(secrets)), _Settings(host=host), but=but)


@pytest.mark.parametrize("path", [b"/internal/grants/view", b"/v1/galleries", b"/", b"/internal/open/../x"])
async def test_a_request_without_the_secret_is_refused(path: bytes) -> None:
    app = _guarded(NEW, but=(b"/internal/open",))
    for headers in ([], [(HEADER.encode(), OLD.encode())], [(HEADER.encode(), b"")]):
        before = metrics.HTTP_CALLERS_REFUSED._value.get()
        start, body = await _ask(app, path, *headers)
        problem = json.decode(body["body"])
        assert (start["status"], problem["code"]) == (401, "caller_unknown")
        assert problem["request_id"]
        assert (b"www-authenticate", b"Kappi-Internal") in start["headers"]
        assert metrics.HTTP_CALLERS_REFUSED._value.get() == before + 1


async def test_a_request_with_the_secret_reaches_the_app() -> None:
    shown = internal_headers(_platform(NEW))
    headers = [(name.encode(), value.encode()) for name, value in shown.items()]
    assert (await _ask(_guarded(NEW), b"/v1/things", *headers))[1]["body"] == b"served"


async def test_an_excepted_path_needs_no_secret() -> None:
    app = _guarded(NEW, but=(b"/internal/open",))
    assert (await _ask(app, b"/internal/open"))[0]["status"] == 200
    for near in (b"/internal/open/", b"/internal/%6fpen", b"/Internal/open"):
        assert (await _ask(app, near))[0]["status"] == 401


async def test_during_a_rotation_both_secrets_are_accepted_and_the_first_is_sent() -> None:
    app = _guarded(NEW, OLD)
    for secret in (OLD, NEW):
        assert (await _ask(app, b"/", (HEADER.encode(), secret.encode())))[0]["status"] == 200
    assert internal_headers(_platform(f"{NEW},{OLD}")) == {HEADER: NEW}


async def test_without_a_secret_only_loopback_addresses_may_be_served() -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.0.0.66"):
        with capture_logs() as logs:
            app = _guarded(host=host)
        assert [line["event"] for line in logs] == ["internal.open"]
        assert (await _ask(app))[0]["status"] == 200
    for host in ("0.0.0.0", "::", "10.0.0.7", "media"):
        with pytest.raises(SecretMissing, match="KAPPI_INTERNAL_SECRET"):
            _guarded(host=host)


async def test_many_refusals_are_one_log_line() -> None:
    app = _guarded(NEW)
    with capture_logs() as logs:
        for _ in range(50):
            await _ask(app, b"/", (HEADER.encode(), b"a-secret-of-another"))
    assert [line["event"] for line in logs] == ["internal.refused"]
    assert "a-secret-of-another" not in str(logs)


@pytest.mark.parametrize("text", ["short", f"{NEW},", f"{NEW},{OLD},a-third-secret-of-all"])
def test_a_secret_must_be_long_and_at_most_two_are_allowed(text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        _platform(text)
    assert NEW not in str(refused.value)
