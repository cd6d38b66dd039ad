"""The parts of the function at the store, in this process and against the emulated S3."""

from __future__ import annotations

import importlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from kappi_contracts.keys import original_key
from kappi_media.domain.object_tags import TaggedFacts, tags_of
from kappi_testkit.media.samples import MovieShape, encode, movie, quadrants

from tests.aws.emulator import AWS, SECRET_KEY, Emulator, running_emulator

JPEG = encode(quadrants(300, 200), "JPEG")
TOKEN = "a token of the store's own"


@pytest.fixture(autouse=True)
def function_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes modules importable as on Lambda, where they are in the function's folder."""
    monkeypatch.syspath_prepend(str(AWS))


@pytest.fixture
def webhook(function_path: None) -> Any:
    return importlib.import_module("metadata_function.webhook")


@dataclass(slots=True)
class FakeEndpoint:
    """Stands in for Kappi. answers: statuses to return one after the other, then 200."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)


@pytest.fixture
def endpoint() -> Iterator[FakeEndpoint]:
    endpoint = FakeEndpoint()

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            endpoint.shown.append(self.headers["Authorization"])
            endpoint.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status = endpoint.answers.pop(0) if endpoint.answers else 200
            self.send_response(status)
            if status == 307:
                self.send_header("location", f"{endpoint.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Logs nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        endpoint.url = f"http://127.0.0.1:{server.server_port}/internal/store-events"
        yield endpoint
        server.shutdown()
        thread.join()


class TestWebhook:
    def test_sends_the_token_and_reads_it_once(self, webhook: Any, endpoint: FakeEndpoint) -> None:
        reads: list[str] = []

        def read_token() -> str:
            reads.append(TOKEN)
            return TOKEN

        webhook = webhook.Webhook(endpoint.url, read_token=read_token)
        for number in range(3):
            webhook.send({"Records": [number]})
        assert endpoint.shown == [f"Bearer {TOKEN}"] * 3
        assert endpoint.bodies[2] == {"Records": [2]}
        assert len(reads) == 1

    def test_reads_a_changed_token_again(self, webhook: Any, endpoint: FakeEndpoint) -> None:
        tokens = iter(["old", "new"])
        endpoint.answers = [401]
        webhook.Webhook(endpoint.url, read_token=lambda: next(tokens)).send({})
        assert endpoint.shown == ["Bearer old", "Bearer new"]

    @pytest.mark.parametrize("answers", [[401, 401], [404], [422], [500], [503], [307]])
    def test_a_refusal_is_an_error_without_secrets(
        self, webhook: Any, endpoint: FakeEndpoint, answers: list[int]
    ) -> None:
        asked = len(answers)
        endpoint.answers = answers
        with pytest.raises(webhook.DeliveryFailed) as refused:
            webhook.Webhook(endpoint.url, read_token=lambda: TOKEN).send({})
        assert TOKEN not in repr(refused.value)
        assert len(endpoint.shown) == asked, "a redirect is not followed"

    def test_a_missing_answer_is_an_error(self, webhook: Any) -> None:
        with pytest.raises(webhook.DeliveryFailed, match="no answer"):
            webhook.Webhook("http://127.0.0.1:1/internal/store-events", read_token=lambda: TOKEN).send({})


pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running_emulator(tmp_path_factory.mktemp("aws")) as emulator:
        yield emulator


@pytest.fixture
def bucket(emulator: Emulator) -> str:
    name = f"kappi-{uuid4().hex[:8]}"
    emulator.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture
def handler(
    function_path: None, emulator: Emulator, endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Returns the module, imported in the environment of the function."""
    secret = emulator.client("secretsmanager").create_secret(Name=uuid4().hex, SecretString=TOKEN)
    environment = {
        "AWS_ENDPOINT_URL": emulator.endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "KAPPI_STORE_EVENTS_URL": endpoint.url,
        "KAPPI_STORE_EVENTS_SECRET": secret["ARN"],
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield importlib.import_module("metadata_function.handler")
    for name in [name for name in sys.modules if name.partition(".")[0] == "metadata_function"]:
        del sys.modules[name]


@pytest.fixture
def put(emulator: Emulator, bucket: str) -> Callable[..., str]:
    """`put(body)` stores an original and returns its key."""

    def put(body: bytes, content_type: str = "image/jpeg") -> str:
        key = original_key(uuid4(), uuid4())
        emulator.client("s3").put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type)
        return key

    return put


def event(bucket: str, *keys: str, name: str = "ObjectCreated:Put") -> dict[str, Any]:
    return {
        "Records": [
            {"eventName": name, "s3": {"bucket": {"name": bucket}, "object": {"key": key}}} for key in keys
        ]
    }


def tags(emulator: Emulator, bucket: str, key: str) -> dict[str, str]:
    found = emulator.client("s3").get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
    return {tag["Key"]: tag["Value"] for tag in found}


def test_facts_are_written_as_tags_and_kappi_is_notified(
    handler: Any, emulator: Emulator, bucket: str, put: Callable[..., str], endpoint: FakeEndpoint
) -> None:
    key = put(JPEG)
    given_event = event(bucket, key)
    assert handler.handle(given_event, None) == {"originals": 1, "tagged": 1}
    assert tags(emulator, bucket, key) == tags_of(TaggedFacts("image", 300, 200))
    assert endpoint.bodies == [given_event]
    # A second call has nothing to write, and Kappi is notified again.
    assert handler.handle(given_event, None) == {"originals": 1, "tagged": 0}
    assert len(endpoint.bodies) == 2


def test_other_tags_are_kept(handler: Any, emulator: Emulator, bucket: str, put: Callable[..., str]) -> None:
    key = put(JPEG)
    emulator.client("s3").put_object_tagging(
        Bucket=bucket, Key=key, Tagging={"TagSet": [{"Key": "scan", "Value": "clean"}]}
    )
    handler.handle(event(bucket, key), None)
    assert tags(emulator, bucket, key) == {"scan": "clean", **tags_of(TaggedFacts("image", 300, 200))}


def test_a_large_film_is_read_in_a_few_pieces(
    handler: Any, emulator: Emulator, bucket: str, put: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The film's index is at its end, behind megabytes that need not be read."""
    film = movie(MovieShape(width=320, height=180))
    padding = (8 << 20).to_bytes(4, "big") + b"free" + b"\x00" * ((8 << 20) - 8)
    at = film.index(b"mdat") - 4
    length = int.from_bytes(film[at : at + 4], "big")
    body = film[: at + length] + padding + film[at + length :]
    key = put(body, "video/mp4")
    originals = handler._originals()
    sizes: list[int] = []
    inner = originals._client.get_object

    def counted(**call: Any) -> Any:
        answer = inner(**call)
        sizes.append(answer["ContentLength"])
        return answer

    monkeypatch.setattr(originals._client, "get_object", counted)
    handler.handle(event(bucket, key), None)
    found = tags(emulator, bucket, key)
    assert (found["kappi-kind"], found["kappi-width"], found["kappi-height"]) == ("video", "320", "180")
    assert abs(int(found["kappi-duration-ms"]) - 2000) <= 100
    assert len(sizes) <= 6
    assert sum(sizes) < 512 << 10


@pytest.mark.parametrize("body", [b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", JPEG[:60]])
def test_a_file_that_is_no_picture_is_not_tagged_and_kappi_is_notified(
    handler: Any,
    emulator: Emulator,
    bucket: str,
    put: Callable[..., str],
    endpoint: FakeEndpoint,
    body: bytes,
) -> None:
    key = put(body)
    assert handler.handle(event(bucket, key), None) == {"originals": 1, "tagged": 0}
    assert tags(emulator, bucket, key) == {}
    assert len(endpoint.bodies) == 1


def test_a_deleted_original_is_no_failure(
    handler: Any, emulator: Emulator, bucket: str, put: Callable[..., str]
) -> None:
    gone, there = original_key(uuid4(), uuid4()), put(JPEG)
    assert handler.handle(event(bucket, gone, there), None) == {"originals": 2, "tagged": 1}
    assert tags(emulator, bucket, there)["kappi-width"] == "300"


def test_a_failure_is_raised_after_the_other_originals_are_tagged(
    handler: Any,
    emulator: Emulator,
    bucket: str,
    put: Callable[..., str],
    endpoint: FakeEndpoint,
    capsys: Any,
) -> None:
    there = put(JPEG)
    given_event = event(bucket, there)
    given_event["Records"] += event("no-such-bucket-anywhere", original_key(uuid4(), uuid4()))["Records"]
    with pytest.raises(handler.Unfinished, match="1 of 2"):
        handler.handle(given_event, None)
    assert tags(emulator, bucket, there)["kappi-width"] == "300"
    assert len(endpoint.bodies) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"NoSuchBucket"} == {line["code"] for line in lines if line["event"] == "original.failed"}


def test_an_unreachable_kappi_is_an_error_and_the_tags_stay(
    handler: Any,
    emulator: Emulator,
    bucket: str,
    put: Callable[..., str],
    endpoint: FakeEndpoint,
    capsys: Any,
) -> None:
    key = put(JPEG)
    endpoint.answers = [503]
    with pytest.raises(handler.Unfinished, match="not told"):
        handler.handle(event(bucket, key), None)
    assert tags(emulator, bucket, key)["kappi-width"] == "300"
    assert TOKEN not in capsys.readouterr().out


def test_a_secret_that_cannot_be_read_is_an_error(
    handler: Any,
    bucket: str,
    put: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    endpoint: FakeEndpoint,
) -> None:
    monkeypatch.setenv("KAPPI_STORE_EVENTS_SECRET", "arn:aws:secretsmanager:us-east-1:000000000000:secret:no")
    with pytest.raises(handler.Unfinished, match="token"):
        handler.handle(event(bucket, put(JPEG)), None)
    assert endpoint.bodies == []


def test_without_an_address_only_tags_are_written(
    handler: Any,
    emulator: Emulator,
    bucket: str,
    put: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    endpoint: FakeEndpoint,
) -> None:
    monkeypatch.setenv("KAPPI_STORE_EVENTS_URL", "")
    key = put(JPEG)
    assert handler.handle(event(bucket, key), None) == {"originals": 1, "tagged": 1}
    assert endpoint.bodies == []


@pytest.mark.parametrize("given_event", [{}, [], None, {"Records": [{}]}, {"Records": "all"}])
def test_an_unreadable_event_is_an_error(handler: Any, given_event: Any, capsys: Any) -> None:
    with pytest.raises(handler.Unfinished):
        handler.handle(given_event, None)
    assert '"event.unreadable"' in capsys.readouterr().out


def test_test_messages_and_removals_are_ignored(handler: Any, bucket: str, endpoint: FakeEndpoint) -> None:
    nothing = {"originals": 0, "tagged": 0}
    assert handler.handle({"Service": "Amazon S3", "Event": "s3:TestEvent"}, None) == nothing
    key = original_key(uuid4(), uuid4())
    assert handler.handle(event(bucket, key, name="ObjectRemoved:Delete"), None) == nothing
    assert endpoint.bodies == []


def test_an_object_that_changes_during_the_read_is_tried_again(
    handler: Any, emulator: Emulator, bucket: str, put: Callable[..., str]
) -> None:
    """Originals are written once. If one is overwritten, its tags must not mix facts of both versions."""
    film = movie(MovieShape(width=320, height=180, seconds=8))
    body = film + b"\x00" * (256 << 10)
    key = put(body, "video/mp4")
    stored = handler._originals().open(bucket, key)
    emulator.client("s3").put_object(Bucket=bucket, Key=key, Body=body[::-1], ContentType="video/mp4")
    source = importlib.import_module("metadata_function.originals").ObjectSource(
        handler._originals()._client, stored
    )
    with pytest.raises(ClientError, match="PreconditionFailed"):
        source.read(100 << 10, 10).send(None)
