"""The HTTP edge: ids, load shedding, and every failure as a problem document without internal details."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from kappi_chassis.auth.grants import GrantInvalid
from kappi_chassis.http import Edge, create_app
from kappi_chassis.http.edge import LASTS, PACED, CutOff, Message, Scope
from kappi_chassis.observability import metrics
from kappi_chassis.observability.access_log import LINES_OF_CLIENT, AccessLog
from kappi_chassis.problems import Conflict, Problem, Unauthenticated
from kappi_chassis.storage import StorageUnavailable
from kappi_testkit.asgi import Answer, AsgiClient
from pydantic import BaseModel, Field
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from structlog.testing import capture_logs


@pytest.fixture(autouse=True)
def _fresh_access_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of this process may have used up the lines of a minute."""
    monkeypatch.setattr("kappi_chassis.http.edge.access_log", AccessLog())


class Body(BaseModel):
    name: str = Field(min_length=2)


class Taken(Conflict):
    code, title = "name_taken", "The name is taken"


def service(max_in_flight: int = 10) -> Edge:
    app = create_app(title="test")

    @app.post("/things", response_model=None)
    async def create(body: Body) -> dict[str, str]:
        if body.name == "taken":
            raise Taken("Choose another.", retry_after_s=3)
        if body.name == "broken":
            raise RuntimeError("password=hunter2 in /srv/secret.py")
        return {"name": body.name}

    return Edge(app, max_in_flight=max_in_flight)


async def ask(app: Any, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await AsgiClient(app)(method, path, raw=body, headers=named)


async def test_a_good_answer_carries_the_request_id() -> None:
    answer = await ask(service(), "POST", "/things", b'{"name": "ok"}', x_request_id="client-chose-this")
    assert (answer.status, answer.json) == (200, {"name": "ok"})
    assert answer.headers["x-request-id"] == "client-chose-this"


async def test_an_answer_with_an_error_is_logged_without_its_path_and_its_client() -> None:
    with capture_logs() as logged:
        await ask(service(), "POST", "/things", b'{"name": "ok"}')
        await ask(service(), "POST", "/things", b'{"name": "taken"}', x_forwarded_for="192.0.2.7")
        await ask(service(), "GET", "/nothing/of-a-secret-name")
    found = [(entry["log_level"], entry["method"], entry["route"], entry["status"]) for entry in logged]
    assert found == [("info", "POST", "/things", 409), ("info", "GET", "unmatched", 404)]
    assert not [secret for secret in ("192.0.2.7", "secret-name") if secret in str(logged)]


async def test_a_flood_of_one_client_is_left_out_and_others_are_logged() -> None:
    app = service()
    with capture_logs() as logged:
        for _ in range(LINES_OF_CLIENT + 10):
            await ask(app, "GET", "/nothing", x_forwarded_for="192.0.2.7")
        await ask(app, "POST", "/nothing", x_forwarded_for="192.0.2.8")
    assert [entry["method"] for entry in logged] == ["GET"] * LINES_OF_CLIENT + ["POST"]


async def test_a_harmful_request_id_is_replaced() -> None:
    answer = await ask(service(), "POST", "/things", b'{"name": "ok"}', x_request_id="a\tb; drop")
    assert answer.headers["x-request-id"] not in ("", "a\tb; drop")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/things", b'{"name": "taken"}', 409, "name_taken"),
        ("POST", "/things", b'{"name": "x"}', 422, "validation_failed"),
        ("POST", "/things", b"{}", 422, "validation_failed"),
        ("POST", "/things", b"{", 422, "malformed_json"),
        ("POST", "/things", b'{"name": "\xff"}', 400, "malformed_json"),
        ("POST", "/things", b"[" * 100_000, 400, "malformed_json"),
        ("POST", "/things", b'{"name": "broken"}', 500, "internal_error"),
        ("GET", "/nowhere", b"", 404, "not_found"),
        ("GET", "/things", b"", 405, "method_not_allowed"),
    ],
)
async def test_every_failure_is_a_problem_document(
    method: str, path: str, body: bytes, status: int, code: str
) -> None:
    answer = await ask(service(), method, path, body)
    expected = 400 if code == "malformed_json" else status
    assert answer.status == expected
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json
    assert document["code"] == code
    assert document["status"] == expected
    assert document["request_id"] == answer.headers["x-request-id"]
    assert {"type", "title", "detail"} <= set(document)


async def test_a_validation_failure_names_the_field() -> None:
    answer = await ask(service(), "POST", "/things", b'{"name": "x"}')
    assert [error["field"] for error in answer.json["errors"]] == ["name"]


async def test_an_internal_failure_leaks_nothing() -> None:
    answer = await ask(service(), "POST", "/things", b'{"name": "broken"}')
    assert b"hunter2" not in answer.body
    assert b"secret.py" not in answer.body


async def test_a_problem_may_have_a_retry_after() -> None:
    answer = await ask(service(), "POST", "/things", b'{"name": "taken"}')
    assert answer.headers["retry-after"] == "3"


async def test_excess_requests_are_refused_and_accepted_ones_finish() -> None:
    release = asyncio.Event()

    async def slow(_: Scope, __: Any, send: Any) -> None:
        await release.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    edge = Edge(slow, max_in_flight=2)
    accepted = [asyncio.create_task(ask(edge, "GET", "/")) for _ in range(2)]
    await asyncio.sleep(0)
    with capture_logs() as logged:
        shed = await ask(edge, "GET", "/")
    assert [(entry["event"], entry["status"]) for entry in logged] == [("http.answered", 503)]
    assert (shed.status, shed.json["code"]) == (503, "overloaded")
    assert int(shed.headers["retry-after"]) >= 1
    release.set()
    assert [answer.status for answer in await asyncio.gather(*accepted)] == [204, 204]
    assert (await ask(edge, "GET", "/")).status == 204


async def test_a_failure_during_the_answer_closes_the_connection() -> None:
    async def breaks_midway(_: Scope, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("midway")

    with pytest.raises(CutOff):
        await ask(Edge(breaks_midway, max_in_flight=1), "GET", "/")


def test_problem_codes_are_unique() -> None:
    def kinds(base: type[Problem]) -> list[type[Problem]]:
        return [base, *(found for child in base.__subclasses__() for found in kinds(child))]

    ours = [kind for kind in kinds(Problem) if kind.__module__.startswith("kappi_chassis.")]
    # A kind may share its parent's code: the same failure in other words.
    own = [
        kind for kind in ours if not any(kind.code == base.__dict__.get("code") for base in kind.__mro__[1:])
    ]
    assert len({kind.code for kind in own}) == len(own)


def failing(error: BaseException) -> Edge:
    app = create_app(title="test")

    @app.post("/things/{name}", response_model=None)
    async def create(name: str) -> dict[str, str]:
        raise error

    return Edge(app, max_in_flight=10)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (
            asyncpg.UntranslatableCharacterError("\\u0000 cannot be converted to text"),
            422,
            "validation_failed",
        ),
        (asyncpg.CharacterNotInRepertoireError("0x00"), 422, "validation_failed"),
        (asyncpg.ConnectionDoesNotExistError("closed"), 503, "unavailable"),
        (PoolTimeout("QueuePool limit reached"), 503, "unavailable"),
        (ConnectionRefusedError(111, "refused"), 503, "unavailable"),
        (StorageUnavailable("secret"), 503, "unavailable"),
        (HTTPException(409, "secret"), 409, "conflict"),
        (HTTPException(401, "secret", headers={"WWW-Authenticate": "Bearer"}), 401, "credentials_missing"),
        (HTTPException(418, "secret"), 418, "bad_request"),
        (HTTPException(502, "secret"), 502, "internal_error"),
    ],
)
async def test_exceptions_of_libraries_become_problems(error: Exception, status: int, code: str) -> None:
    answer = await ask(failing(error), "POST", "/things/x")
    assert (answer.status, answer.json["code"], answer.json["status"]) == (status, code, status)
    assert b"secret" not in answer.body


async def test_a_failure_is_logged_with_its_route_because_paths_hold_tokens() -> None:
    with capture_logs() as logged:
        for error in (RuntimeError("broken"), asyncpg.ConnectionDoesNotExistError("closed")):
            await ask(failing(error), "POST", "/things/a-token-of-a-link")
    told = {entry["event"]: entry for entry in logged}
    assert [told[event]["route"] for event in ("http.failed", "http.refused")] == ["/things/{name}"] * 2
    assert "a-token-of-a-link" not in str(logged)


async def test_every_401_has_a_challenge() -> None:
    for error in (Unauthenticated("Who?"), GrantInvalid(), HTTPException(401)):
        answer = await ask(failing(error), "POST", "/things/x")
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_a_header_value_of_a_problem_cannot_add_a_header() -> None:
    problem = Taken("no", headers={"Location": "/x\r\nSet-Cookie: a=b", "Allow": "GÉT, \u2713"})
    for app in (failing(problem), Edge(raising(problem), max_in_flight=1)):
        answer = await ask(app, "POST", "/things/x")
        assert answer.headers["location"] == "/xSet-Cookie: a=b"
        assert answer.headers["allow"] == "GÉT, ?"


def raising(error: Exception) -> Any:
    async def app(_: Scope, __: Any, ___: Any) -> None:
        raise error

    return app


async def test_a_disconnected_client_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    series = {"method": "POST", "route": "unmatched", "status": "499"}

    def count() -> float:
        return float(metrics.HTTP_REQUEST_SECONDS.labels(**series)._sum.get())

    edge, before = Edge(raising(ClientDisconnect()), max_in_flight=1), count()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    for _ in range(2):  # the second finds the slot of the first free
        await edge({"type": "http", "method": "POST", "path": "/", "headers": []}, receive, send)
    assert sent == []
    assert count() > before
    assert not [entry for entry in caplog.records if entry.levelname == "ERROR"]


@pytest.mark.parametrize("lasts", [True, False])
async def test_a_streamed_answer_is_timed_until_it_begins(
    monkeypatch: pytest.MonkeyPatch, *, lasts: bool
) -> None:
    now = 100.0
    monkeypatch.setattr("kappi_chassis.http.edge.time.perf_counter", lambda: now)
    series = {"method": "GET", "route": f"lasts {lasts}", "status": "200"}

    async def app(scope: Scope, _: Any, send: Any) -> None:
        nonlocal now
        scope["kappi.route"] = series["route"]
        if lasts:
            scope[LASTS] = True
        now += 0.25
        await send({"type": "http.response.start", "status": 200, "headers": []})
        now += 600
        await send({"type": "http.response.body", "body": b"all"})

    with capture_logs() as logged:
        await ask(Edge(app, max_in_flight=1), "GET", "/")
    took_s = float(metrics.HTTP_REQUEST_SECONDS.labels(**series)._sum.get())
    assert took_s == pytest.approx(0.25 if lasts else 600.25)
    assert [entry["event"] for entry in logged] == ([] if lasts else ["http.answered"])


@pytest.mark.parametrize("status", [200, 503, 507])
async def test_the_time_of_a_slow_upload_is_not_counted(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    now = 100.0
    monkeypatch.setattr("kappi_chassis.http.edge.time.perf_counter", lambda: now)

    async def app(scope: Scope, _: Any, send: Any) -> None:
        nonlocal now
        scope[PACED] = True
        now += 600
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with capture_logs() as logged:
        await ask(Edge(app, max_in_flight=1), "PUT", "/")
    # A full store is no alarm here: it is logged at its source.
    levels = {200: [], 503: ["warning"], 507: ["info"]}[status]
    assert [(entry["event"], entry["log_level"]) for entry in logged] == [
        ("http.answered", level) for level in levels
    ]


async def test_an_unknown_method_adds_no_metric_series() -> None:
    await ask(service(), "BREW", "/things")
    methods = {
        sample.labels["method"]
        for metric in metrics.HTTP_REQUEST_SECONDS.collect()
        for sample in metric.samples
    }
    assert "BREW" not in methods
    assert "other" in methods


async def test_a_cancelled_request_frees_its_slot() -> None:
    async def hangs(_: Scope, __: Any, ___: Any) -> None:
        await asyncio.Event().wait()

    edge = Edge(hangs, max_in_flight=1)
    for _ in range(2):
        task = asyncio.create_task(ask(edge, "GET", "/"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


class Many(BaseModel):
    names: list[int]
    extra: dict[str, int] = {}


@pytest.mark.parametrize(
    "body",
    [
        b'{"names": [' + b",".join([b'"hunter2"'] * 20_000) + b"]}",
        b'{"names": [], "extra": {"' + b"x" * 100_000 + b'": "hunter2"}}',
        b'{"names": [], "extra": {"\\ud800": "hunter2"}}',
        b'{"names": [' + b"9" * 5_000 + b"]}",
    ],
    ids=["many errors", "a long name", "a lone surrogate", "a huge number"],
)
async def test_the_detail_of_a_refusal_is_bounded(body: bytes) -> None:
    app = create_app(title="test")

    @app.post("/things", response_model=None)
    async def create(body: Many) -> dict[str, str]:
        return {}

    answer = await ask(Edge(app, max_in_flight=1), "POST", "/things", body)
    assert answer.status in (400, 422)
    assert answer.json["code"] in ("validation_failed", "malformed_json", "bad_request")
    assert len(answer.body) < 20_000
    assert b"hunter2" not in answer.body
