"""Every documented operation with generated requests: no 500, only documented answers, only problems.

The admin panel, which no document describes, gets the hostile values too.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import urllib.request
import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route
from starlette_admin import BaseAdmin

from tests.e2e import hostile_values
from tests.e2e.accounts import Person
from tests.e2e.authorisation import OPERATIONS, SENDS, Caller, Kind, Operation, named
from tests.e2e.authorisation_world import World, build
from tests.e2e.hostile_values import Hostile
from tests.e2e.phone import EVENT_STREAM, Phone
from tests.e2e.stacks import StackUnderTest

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
PROBLEM_MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}
_each_depth = pytest.mark.parametrize("examples", [3, pytest.param(15, marks=pytest.mark.slow)])


@pytest.fixture(scope="module")
def key(stack: StackUnderTest) -> dict[str, str]:
    """Returns an anonymous gallery's credentials."""
    made = _post(f"{stack.base_url}/v1/galleries", {"title": "Generated"})
    return {"X-Gallery-Key": made["access_key"], "X-Gallery-Code": made["code"]}


@pytest.fixture(scope="module")
def bearer(stack: StackUnderTest) -> dict[str, str]:
    """Returns a new account's access token."""
    email, password = f"{uuid.uuid4().hex}@example.com", uuid.uuid4().hex
    _post(f"{stack.base_url}/v1/accounts", {"email": email, "password": password})
    form = f"grant_type=password&username={email.replace('@', '%40')}&password={password}".encode()
    token = _send(f"{stack.base_url}/v1/oauth/token", form, "application/x-www-form-urlencoded")
    return {"Authorization": f"Bearer {token['access_token']}"}


@pytest.fixture(scope="module")
def surface(stack: StackUnderTest) -> Any:
    return schemathesis.openapi.from_url(f"{stack.base_url}/openapi.json")


@_each_depth
def test_without_credentials(surface: Any, examples: int) -> None:
    _exercise(surface, {}, examples=examples)


@_each_depth
def test_with_the_key_of_a_gallery(surface: Any, key: dict[str, str], examples: int) -> None:
    _exercise(surface, key, examples=examples)


@_each_depth
def test_as_an_account(surface: Any, bearer: dict[str, str], examples: int) -> None:
    # Deleting the account would make the credentials of the other calls invalid.
    _exercise(surface, bearer, examples=examples, but={("DELETE", "/v1/me")})


@pytest.fixture(scope="module")
def world(stack: StackUnderTest) -> World:
    async def built() -> World:
        async with Phone(stack.base_url, secrets=stack.secrets) as phone:
            return await build(stack, phone)

    return asyncio.run(built())


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_hostile_values(operation: Operation, stack: StackUnderTest, surface: Any, world: World) -> None:
    """Tests each place of the operation, with a credential that permits it in some gallery."""
    caller, kind = next(
        (caller, kind) for caller in Caller for kind in operation.kinds if operation.may(caller, kind)
    )
    names = world.named(kind, caller)
    credentials = {name: value.encode() for name, value in named(SENDS[caller], names).items()}
    requests = hostile_values.of_operation(operation, surface.raw_schema, names)
    _assert_refused_or_done(stack, requests, credentials)


_PANEL_QUERY = (
    *("q", "page", "page_size", "sort", "order", "filter", "pk", "pks", "field", "skip", "limit", "name"),
    *("all", "next", "preview", "v", "_origin", "_list_query", "columns"),
)
_PANEL_TEXTS = {
    what: hostile_values.TEXTS[what]
    for what in ("a NUL", "half a surrogate pair", "an integer beyond 64 bits", "an integer of 5,000 digits")
}
_PANEL_FORMS = {
    "/admin/login": {"username": "root@example.com", "password": "wrong one"},
    "/admin/tiers/create": {
        "name": "Hostile",
        "rendition_sizes": "200",
        "max_file_bytes": "1000",
        "quota_bytes": "1000",
    },
    "/admin/tiers/edit?pk=Hostile": {
        "rendition_sizes": "200",
        "max_file_bytes": "1000",
        "quota_bytes": "1000",
    },
    "/admin/accounts/edit?pk={account}": {"tier": "Basic"},
    "/admin/_api/tiers/action?name=delete&pks=None": {"name": "delete"},
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("view", ["tiers", "accounts"])
def test_hostile_values_in_the_panel(view: str, stack: StackUnderTest, world: World) -> None:
    """Tests each parameter that the panel's library reads, on each of its routes."""
    panel = _Panel(stack.base_url, world.admin)
    routes = [route for route in BaseAdmin(secret_key="unused").routes if isinstance(route, Route)]
    targets = {
        f"/admin{route.path}".replace("{key}", view): (route.methods or set()) & {"GET", "POST"}
        for route in routes
        if "{path:path}" not in route.path
    }
    requests = [
        hostile
        for target, methods in {**targets, "/admin/login": {"GET"}, "/admin/logout": {"GET"}}.items()
        for method in sorted(methods)
        for hostile in hostile_values.of_query(method, target, _PANEL_QUERY, texts=_PANEL_TEXTS)
    ]
    _assert_refused_or_done(stack, requests, panel.credentials, only_problems=False)


def test_hostile_values_in_forms_of_the_panel(stack: StackUnderTest, world: World) -> None:
    panel = _Panel(stack.base_url, world.admin)
    panel.send("POST", "/admin/tiers/create", _PANEL_FORMS["/admin/tiers/create"])
    requests = [
        hostile
        for target, form in _PANEL_FORMS.items()
        for hostile in hostile_values.of_form(
            "POST", target.format(account=world.admin.id), {"csrftoken": panel.token, **form}
        )
    ]
    _assert_refused_or_done(stack, requests, panel.credentials, only_problems=False)


def test_hostile_values_in_pages_and_the_store(stack: StackUnderTest, world: World) -> None:
    """Tests pages for people, and the store behind signed URLs."""
    names = world.named(Kind.ANONYMOUS, Caller.KEY)
    credentials = {"X-Gallery-Key": names["key"].encode()}
    signed = _ask(stack.base_url, Hostile("", "GET", f"/v1/media/{names['item']}/download", credentials), {})
    stored = json.loads(signed.body)["url"].removeprefix(stack.base_url)
    assert stored.startswith("/store/")
    pages = ("/", "/docs", "/openapi.json", f"/g/{names['code']}", "/reset-password", stored)
    requests = [
        hostile
        for page in pages
        for hostile in (
            *hostile_values.of_headers("GET", page),
            *hostile_values.of_query("GET", page, ("token", "expires", "type", "size", "part", "signature")),
        )
    ]
    for what, value in hostile_values.TEXTS.items():
        requests += [
            Hostile(f"path: {what}", method, f"{prefix}/{quote(value, safe='')}", {})
            for prefix in ("", "/g", "/store", "/store/galleries", "/docs", "/admin")
            for method in ("GET", "PUT", "POST")
        ]
    _assert_refused_or_done(stack, requests, {}, only_problems=False)


class _Panel:
    """A logged-in browser. credentials: the headers of its requests. token: of its forms."""

    def __init__(self, base_url: str, admin: Person) -> None:
        self._base_url = base_url
        self._cookies: dict[str, str] = {}
        self.token = ""
        self.send("GET", "/admin/login")
        logged_in = self.send("POST", "/admin/login", {"username": admin.email, "password": admin.password})
        assert logged_in == 303
        assert self.send("GET", "/admin/tiers/create") == 200

    @property
    def credentials(self) -> dict[str, bytes]:
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        return {"Cookie": cookies.encode(), "Origin": self._base_url.encode()}

    def send(self, method: str, path: str, form: Mapping[str, str] | None = None) -> int:
        """Returns the status of the answer."""
        body = None if form is None else urlencode({"csrftoken": self.token, **form}).encode()
        headers = {"Content-Type": b"application/x-www-form-urlencoded"}
        answer = _ask(self._base_url, Hostile("", method, path, headers, body), self.credentials)
        for cookie in answer.headers.get_all("set-cookie", ()):
            name, _, rest = cookie.partition("=")
            self._cookies[name] = rest.partition(";")[0]
        if found := re.search(rb'name="csrftoken" value="([^"]+)"', answer.body):
            self.token = found[1].decode()
        return answer.status


class _Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers = response.status, response.headers
        is_endless = response.headers.get_content_type() == EVENT_STREAM
        self.body = b"" if is_endless else response.read()


def _ask(base_url: str, hostile: Hostile, credentials: dict[str, bytes]) -> _Answer:
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=20)
    try:
        headers = {**credentials, **hostile.headers}
        connection.request(hostile.method, hostile.target, hostile.body, headers)
        return _Answer(connection.getresponse())
    finally:
        connection.close()


def _assert_refused_or_done(
    stack: StackUnderTest,
    requests: Iterable[Hostile],
    credentials: dict[str, bytes],
    *,
    only_problems: bool = True,
) -> None:
    """only_problems: whether every refusal must be a problem document."""
    wrong = []
    for hostile in requests:
        answer = _ask(stack.base_url, hostile, credentials)
        refused = answer.status >= 400
        is_problem = answer.headers.get("content-type") == "application/problem+json"
        if answer.status >= 500 or (refused and only_problems and not is_problem):
            wrong.append(f"{hostile.method} {hostile.target[:100]} {hostile.where}: {answer.status}")
    assert not wrong, "\n".join(["answered badly:", *wrong])


def _exercise(
    surface: Any, credentials: dict[str, str], *, examples: int, but: Collection[tuple[str, str]] = ()
) -> None:
    """Tests each operation separately, so that a failure does not hide others. examples: per operation."""
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
        except Exception as failure:  # noqa: BLE001 - reported below, operation by operation
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
