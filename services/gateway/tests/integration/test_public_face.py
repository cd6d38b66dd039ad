"""Pages, the merged OpenAPI document, and CORS."""

from __future__ import annotations

import gzip
import re
from base64 import b64encode
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from kappi_chassis.embedded.ports import free_port
from kappi_gateway.routes import ROUTES, Service
from kappi_testkit.gateway.fake_services import GALLERY_ID, Reply
from kappi_testkit.gateway.raw_http import exchange, request
from kappi_testkit.gateway.stack import Stack, StackFactory

APPLICATIONS = ["/", "/account", f"/manage/{GALLERY_ID}", "/g/abcd"]
PAGES = [*APPLICATIONS, "/docs"]


def sources(policy: str, directive: str) -> list[str]:
    """Returns what the policy trusts for one kind of content."""
    trusted = {name: rest for name, _, rest in (part.partition(" ") for part in policy.split("; "))}
    return trusted[directive].split(" ")


@pytest.mark.parametrize("target", PAGES)
async def test_a_page_runs_only_its_own_script(stack: Stack, target: str) -> None:
    answer = await stack.ask("GET", target)
    html = answer.body.decode()
    policy = answer.headers["content-security-policy"]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; ")
    for tag in ("script", "style"):
        (inside,) = re.findall(f"<{tag}[^>]*>(.*?)</{tag}>", html, re.DOTALL)
        digest = b64encode(sha256(inside.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in sources(policy, f"{tag}-src")
    loaded = {"script-src": ["'strict-dynamic'"], "style-src": ["'self'"]} if target in APPLICATIONS else {}
    for directive in ("script-src", "style-src"):
        assert [one for one in sources(policy, directive) if "sha256" not in one] == loaded.get(directive, [])
    shown = re.sub(r"<meta property=[^>]*>", "", html)  # link previews need whole addresses
    assert not re.search(r"\son\w+=|javascript:|<script [^>]*src=|style=|https?://(?!www\.w3\.org)", shown)


@pytest.mark.parametrize("target", PAGES)
async def test_scripts_do_not_write_markup(stack: Stack, target: str) -> None:
    html = (await stack.ask("GET", target)).body.decode()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", html
    )


async def test_pictures_may_come_from_the_store(make_stack: StackFactory) -> None:
    stack = await make_stack(media_origins="https://store.example, https://cdn.example:8443")
    policy = (await stack.ask("GET", "/g/abcd")).headers["content-security-policy"]
    store = ["'self'", "https://store.example", "https://cdn.example:8443"]
    for directive, more in (
        ("img-src", ["data:", "blob:"]),
        ("media-src", ["blob:"]),
        ("connect-src", ["data:"]),
    ):
        assert sources(policy, directive) == [*store, *more]


async def test_a_page_is_compressed_and_revalidated(stack: Stack) -> None:
    plain = await stack.ask("GET", "/g/abcd", "Accept-Encoding: gzip;q=0")
    packed = await stack.ask("GET", "/g/abcd", "Accept-Encoding: br, gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    known = await stack.ask("GET", "/g/abcd", f"If-None-Match: {packed.headers['etag']}")
    assert (known.status, known.body) == (304, b"")


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/g/abcd", 200),
        ("GET", "/v1/g/abcd", 200),
        ("GET", "/v1/g/no-code", 404),
        ("GET", "/nope", 404),
        ("OPTIONS", "/v1/galleries", 204),
        ("GET", "/store/galleries/a", 200),
        ("DELETE", "/store/galleries/a", 405),
        ("GET", "/admin/", 200),
        ("DELETE", "/admin/", 405),
    ],
)
async def test_every_answer_has_one_date_which_pages_of_other_origins_may_read(
    make_stack: StackFactory, method: str, target: str, status: int
) -> None:
    stack = await make_stack(accounts=True)
    for service in (stack.media, stack.store, stack.identity):
        service.always(Reply(headers=((b"date", b"Sun, 06 Nov 1994 08:49:37 GMT"),)))
    answer = await stack.ask(method, target)
    assert answer.status == status
    told = parsedate_to_datetime(answer.headers["date"])
    assert abs((told - datetime.now(UTC)).total_seconds()) < 30
    if target.startswith("/v1/"):
        assert "Date" in answer.headers["access-control-expose-headers"]


async def test_head_of_a_page_has_no_body(stack: Stack) -> None:
    answer = await stack.ask("HEAD", "/docs")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 1000


async def test_a_preflight_is_answered(stack: Stack) -> None:
    answer = await stack.ask(
        "OPTIONS",
        f"/v1/galleries/{GALLERY_ID}",
        "Origin: https://app.example",
        "Access-Control-Request-Method: PATCH",
        "Access-Control-Request-Headers: x-gallery-key, content-type",
    )
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert "X-Gallery-Key" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    assert stack.galleries.seen == []


async def test_a_preflight_of_an_unknown_path_is_not_found(stack: Stack) -> None:
    assert (await stack.ask("OPTIONS", "/nowhere")).status == 404


@pytest.mark.parametrize("target", ["/v1/g/abcd", "/nowhere", "/openapi.json"])
async def test_pages_of_other_origins_may_read_answers(stack: Stack, target: str) -> None:
    answer = await stack.ask("GET", target, "Origin: https://app.example")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert {"ETag", "Retry-After", "X-Request-Id"} <= set(
        answer.headers["access-control-expose-headers"].split(", ")
    )


@pytest.mark.parametrize("target", ["/nope", "/v1/nope", "/g/", "/g/abcd/nope"])
async def test_a_browser_gets_a_page_for_an_unknown_path(stack: Stack, target: str) -> None:
    shown = await stack.ask("GET", target, "Accept: text/html,application/xhtml+xml,*/*;q=0.8")
    assert (shown.status, shown.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is nothing here" in shown.body.decode()
    assert "<script" not in shown.body.decode()
    assert "unsafe" not in shown.headers["content-security-policy"]
    known = f"If-None-Match: {shown.headers['etag']}"
    assert (await stack.ask("GET", target, "Accept: text/html", known)).status == 404
    assert (await stack.ask("HEAD", target, "Accept: text/html")).body == b""


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
async def test_a_program_gets_a_problem_document_for_an_unknown_path(stack: Stack, accept: str) -> None:
    answer = await stack.ask("GET", "/nope", *([f"Accept: {accept}"] if accept else []))
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
    posted = await stack.ask("POST", "/nope", "Accept: text/html")
    assert posted.headers["content-type"] == "application/problem+json"


async def test_websockets_are_refused(stack: Stack) -> None:
    raw = request(
        "GET", "/v1/g/abcd", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"
    )
    assert (await exchange(stack.port, raw)).status in (200, 400)
    assert all("upgrade" not in seen.headers for seen in stack.media.seen)


def documented(*operations: str) -> Reply:
    paths: dict[str, dict[str, object]] = {}
    for operation in operations:
        method, path = operation.split()
        paths.setdefault(path, {})[method] = {"responses": {"200": {"description": operation}}}
    return Reply(body=msgspec.json.encode({"openapi": "3.1.0", "paths": paths}))


def described(document: dict[str, Any]) -> list[str]:
    """Returns the paths of the services; the gateway's own are always there."""
    own = [route.template for route in ROUTES if route.service is Service.GATEWAY]
    paths = list(document["paths"])
    assert set(own) < set(paths)
    return [path for path in paths if path not in own]


async def test_the_documents_of_services_are_merged(stack: Stack) -> None:
    stack.galleries.always(documented("post /v1/galleries", "post /internal/grants/view"))
    stack.media.always(documented("get /v1/g/{code}"))
    answer = await stack.ask("GET", "/openapi.json")
    document = msgspec.json.decode(answer.body)
    assert document["openapi"] == "3.1.0"
    assert described(document) == ["/v1/galleries", "/v1/g/{code}"]
    assert (await stack.ask("GET", "/openapi.json", f"If-None-Match: {answer.headers['etag']}")).status == 304
    assert len(stack.media.seen) == 1


async def test_accounts_are_in_the_document(with_accounts: Stack) -> None:
    with_accounts.identity.always(documented("get /v1/me"))
    with_accounts.galleries.always(documented("get /v1/galleries"))
    with_accounts.media.always(documented("get /v1/l/{token}"))
    document = msgspec.json.decode((await with_accounts.ask("GET", "/openapi.json")).body)
    assert described(document) == ["/v1/me", "/v1/galleries", "/v1/l/{token}"]
    assert "AccessToken" in document["components"]["securitySchemes"]


async def test_the_document_is_refreshed(stack: Stack) -> None:
    stack.galleries.always(documented())
    stack.media.always(documented())
    await stack.ask("GET", "/openapi.json")
    stack.media.always(documented("get /v1/g/{code}"))
    stack.time.now_s += 61
    document = msgspec.json.decode((await stack.ask("GET", "/openapi.json")).body)
    assert described(document) == ["/v1/g/{code}"]


async def test_the_part_of_a_service_that_is_down_is_kept(stack: Stack) -> None:
    stack.galleries.always(documented("post /v1/galleries"))
    stack.media.always(documented("get /v1/g/{code}"))
    first = await stack.ask("GET", "/openapi.json")
    stack.media.always(Reply(status=500))
    stack.time.now_s += 61
    assert (await stack.ask("GET", "/openapi.json")).body == first.body


async def test_without_services_there_is_no_document(make_stack: StackFactory) -> None:
    nowhere = {f"{name}_url": f"http://127.0.0.1:{free_port()}" for name in ("galleries", "media")}
    stack = await make_stack(**nowhere)
    assert (await stack.ask("GET", "/openapi.json")).code == "upstream_unavailable"


@pytest.mark.parametrize(
    "target", ["/", "/g/abcd", "/v1/galleries/no-such", "/admin/login", "/store/no-such"]
)
async def test_hsts_is_sent_if_a_trusted_proxy_uses_https(make_stack: StackFactory, target: str) -> None:
    stack = await make_stack(accounts=True, trusted_proxies="127.0.0.1/32")
    over_https = await stack.ask("GET", target, "X-Forwarded-Proto: https")
    assert over_https.headers["strict-transport-security"] == "max-age=31536000"
    for headers in ((), ("X-Forwarded-Proto: http",)):
        answer = await stack.ask("GET", target, *headers)
        assert "strict-transport-security" not in answer.headers


@pytest.mark.parametrize("settings", [{}, {"trusted_proxies": "127.0.0.1/32", "hsts_max_age": "PT0S"}])
async def test_hsts_is_not_sent_otherwise(make_stack: StackFactory, settings: dict[str, str]) -> None:
    answer = await (await make_stack(**settings)).ask("GET", "/", "X-Forwarded-Proto: https")
    assert answer.status == 200
    assert "strict-transport-security" not in answer.headers
