"""The client against servers that misbehave."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from kappi_client import retry
from kappi_client.api import Api
from kappi_client.download import Download
from kappi_client.errors import ApiError, Unreachable
from kappi_client.files import LocalFile, find_files
from kappi_client.galleries import Gallery
from kappi_client.journal import Journal, Note
from kappi_client.progress import DownloadProgress, UploadProgress
from kappi_client.retry import ATTEMPTS
from kappi_client.upload import Upload, UploadResult

pytestmark = pytest.mark.integration

BODY = bytes(range(256)) * 2_000
MEDIA_ID = "0190a5b0-0000-7000-8000-000000000001"


class Recorder(UploadProgress, DownloadProgress):
    """Records its calls."""

    def __init__(self) -> None:
        self.bytes = 0
        self.there_before = 0
        self.refused: list[str] = []

    def stored(self, count: int) -> None:
        self.bytes += count

    def resumed(self, count: int) -> None:
        self.there_before += count

    def rejected(self, file: LocalFile, reason: str) -> None:
        self.refused.append(reason)

    def received(self, count: int) -> None:
        self.bytes += count

    def failed(self, name: str, reason: str) -> None:
        self.refused.append(reason)


class TroubledServer:
    """An API and a store. Their next answers are the errors in `troubles`; later answers are correct."""

    def __init__(self) -> None:
        self.troubles: list[int] = []
        self.puts: list[bytes] = []
        self.keys: list[str | None] = []
        self.ranges: list[str | None] = []
        self.if_ranges: list[str | None] = []
        self.etag = '"e"'
        self.breaks_after: int | None = None
        self.redirects = 0
        self.url = ""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/v1/galleries", self.create)
        app.router.add_post("/v1/galleries/g/uploads", self.sign)
        app.router.add_get("/v1/uploads/u", self.look)
        app.router.add_post("/v1/uploads/u/complete", self.complete)
        app.router.add_put("/put/{name}", self.put)
        app.router.add_get("/get/{name}", self.get)
        app.router.add_get("/counted", self.counted)
        app.router.add_get(f"/v1/media/{MEDIA_ID}/download", self.download)
        return app

    def trouble(self) -> web.StreamResponse | None:
        if not self.troubles:
            return None
        status = self.troubles.pop(0)
        if status == 0:
            raise asyncio.CancelledError  # the connection ends without an answer
        return web.json_response(
            {"code": "trouble", "detail": "later"}, status=status, headers={"Retry-After": "0"}
        )

    async def create(self, request: web.Request) -> web.StreamResponse:
        self.keys.append(request.headers.get("Idempotency-Key"))
        return self.trouble() or web.json_response({"id": "g"}, status=201)

    async def sign(self, request: web.Request) -> web.StreamResponse:
        files = (await request.json())["files"]
        bad = [number for number, file in enumerate(files) if file["filename"].startswith("bad")]
        if bad:
            errors = [
                {"field": f"files.{number}.content_type", "code": "x", "message": "no photo"}
                for number in bad
            ]
            return web.json_response({"code": "unsupported_content_type", "errors": errors}, status=422)
        return web.json_response({"uploads": [self.upload("first") for _ in files]}, status=201)

    def upload(self, name: str) -> dict[str, Any]:
        single = {
            "url": f"{self.url}/put/{name}",
            "http_method": "PUT",
            "headers": {"content-type": "image/jpeg"},
        }
        return {"id": "u", "media_id": MEDIA_ID, "state": "pending", "method": "single", "single": single}

    async def look(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self.upload("fresh"))

    async def complete(self, _: web.Request) -> web.StreamResponse:
        if not self.puts:
            return web.json_response({"code": "upload_incomplete"}, status=409)
        return web.json_response({"id": MEDIA_ID})

    async def put(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        trouble = self.trouble()
        if trouble is None:
            self.puts.append(body)
        return trouble or web.Response()

    async def get(self, request: web.Request) -> web.StreamResponse:
        wanted = request.headers.get("Range")
        self.ranges.append(wanted)
        self.if_ranges.append(request.headers.get("If-Range"))
        if (trouble := self.trouble()) is not None:
            return trouble
        match = re.fullmatch(r"bytes=(\d+)-", wanted or "")
        same = self.if_ranges[-1] in {None, self.etag}
        begin = int(match[1]) if match is not None and same else 0
        headers = {"Content-Length": str(len(BODY) - begin), "ETag": self.etag}
        answer = web.StreamResponse(status=206 if begin else 200, headers=headers)
        await answer.prepare(request)
        if self.breaks_after is not None and len(BODY) - begin > self.breaks_after:
            await answer.write(BODY[begin : begin + self.breaks_after])
            await asyncio.sleep(0.05)
            assert request.transport is not None
            request.transport.abort()
            return answer
        if len(self.ranges) == 1:  # the first connection is cut halfway
            await answer.write(BODY[begin : len(BODY) // 2])
            await asyncio.sleep(0.05)  # so that the client has read all of it
            assert request.transport is not None
            request.transport.abort()
            return answer
        await answer.write(BODY[begin:])
        return answer

    async def counted(self, _: web.Request) -> web.StreamResponse:
        self.redirects += 1
        return web.Response(status=302, headers={"Location": f"{self.url}/get/first"})

    async def download(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["X-Gallery-Code"] == "abcd"
        return web.json_response({"url": f"{self.url}/get/fresh"})


@pytest.fixture
async def troubled(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TroubledServer]:
    monkeypatch.setattr(retry, "_FIRST_PAUSE_S", 0.001)
    server = TroubledServer()
    runner = web.AppRunner(server.app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def api(troubled: TroubledServer) -> AsyncIterator[Api]:
    async with Api(troubled.url) as api:
        yield api


@pytest.fixture
def photos(tmp_path: Path) -> list[LocalFile]:
    (tmp_path / "a.jpg").write_bytes(BODY)
    return find_files([tmp_path / "a.jpg"]).files


def new_journal() -> Journal:
    return Journal(None, Note(begun_at="now", creation_key="k"))


async def share(
    api: Api, quiet: Recorder, files: list[LocalFile], *, journal: Journal | None = None
) -> UploadResult:
    gallery = Gallery("g", "abcd", "http://x/g/abcd", "key")
    upload = Upload(api, files, gallery=gallery, journal=journal or new_journal(), progress=quiet)
    await upload.send()
    return upload.result


async def test_a_call_is_repeated_with_the_same_idempotency_key(troubled: TroubledServer, api: Api) -> None:
    troubled.troubles = [503, 429, 502]
    await api.call("POST", "/v1/galleries", json={}, headers={"Idempotency-Key": "once"})
    assert troubled.keys == ["once"] * 4


async def test_permanent_errors_are_not_repeated(troubled: TroubledServer, api: Api) -> None:
    troubled.troubles = [422]
    with pytest.raises(ApiError, match="later") as caught:
        await api.call("POST", "/v1/galleries", json={})
    assert (caught.value.status, caught.value.code) == (422, "trouble")
    assert len(troubled.keys) == 1


async def test_the_error_names_a_server_that_stays_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_FIRST_PAUSE_S", 0.001)
    async with Api("http://127.0.0.1:9") as api:
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
            await api.call("GET", "/v1/g/abcd")


@pytest.mark.parametrize("troubles", [[503], [0], [500, 503], [403]])
async def test_an_upload_succeeds_after_errors(
    troubled: TroubledServer, api: Api, photos: list[LocalFile], troubles: list[int]
) -> None:
    troubled.troubles = list(troubles)
    quiet = Recorder()
    outcome = await share(api, quiet, photos)
    assert not outcome.rejected
    assert [hashlib.sha256(body).hexdigest() for body in troubled.puts] == [outcome.uploaded[0].sha256]
    assert quiet.bytes == len(BODY)


async def test_a_stored_file_whose_answer_was_lost_is_accepted(
    troubled: TroubledServer, api: Api, photos: list[LocalFile]
) -> None:
    troubled.troubles = [412]
    troubled.puts.append(BODY)
    assert not (await share(api, Recorder(), photos)).rejected


async def test_a_file_that_was_stored_before_a_kill_is_only_completed(
    troubled: TroubledServer, api: Api, photos: list[LocalFile]
) -> None:
    journal = new_journal()
    known = journal.remember(photos[0], hashlib.sha256(BODY).hexdigest())
    known.upload_id, known.media_id = "u", MEDIA_ID
    troubled.puts.append(BODY)
    quiet = Recorder()
    outcome = await share(api, quiet, photos, journal=journal)
    assert [each.media_id for each in outcome.uploaded] == [MEDIA_ID]
    assert len(troubled.puts) == 1, "it was sent again"
    assert (quiet.there_before, quiet.bytes) == (len(BODY), 0)


async def test_a_file_that_was_not_stored_is_sent(
    troubled: TroubledServer, api: Api, photos: list[LocalFile]
) -> None:
    journal = new_journal()
    known = journal.remember(photos[0], hashlib.sha256(BODY).hexdigest())
    known.upload_id, known.media_id = "u", MEDIA_ID
    quiet = Recorder()
    await share(api, quiet, photos, journal=journal)
    assert troubled.puts == [BODY]
    assert (quiet.there_before, quiet.bytes) == (0, len(BODY))


async def test_refused_files_of_a_batch_are_left_out(
    troubled: TroubledServer, api: Api, photos: list[LocalFile], tmp_path: Path
) -> None:
    (tmp_path / "bad.dat").write_bytes(b"x")
    quiet = Recorder()
    outcome = await share(api, quiet, [*find_files([tmp_path / "bad.dat"]).files, *photos])
    assert [file.path.name for file, _ in outcome.rejected] == ["bad.dat"]
    assert [each.path.name for each in outcome.uploaded] == ["a.jpg"]
    assert "it is not JPEG" in quiet.refused[0]


async def test_a_file_that_shrinks_while_it_is_read_is_refused(
    troubled: TroubledServer, api: Api, photos: list[LocalFile]
) -> None:
    shrunk = replace(photos[0], size_bytes=photos[0].size_bytes + 10)
    outcome = await share(api, Recorder(), [shrunk])
    assert "shorter" in outcome.rejected[0][1]
    assert troubled.puts == []


def item(troubled: TroubledServer, **more: object) -> dict[str, Any]:
    return {
        "id": MEDIA_ID,
        "filename": "a.jpg",
        "size": len(BODY),
        "original": {"url": f"{troubled.url}/get/first"},
        **more,
    }


async def test_an_interrupted_download_continues(troubled: TroubledServer, api: Api, tmp_path: Path) -> None:
    quiet = Recorder()
    known = item(troubled, sha256=hashlib.sha256(BODY).hexdigest())
    outcome = await Download(api, {"X-Gallery-Code": "abcd"}, tmp_path / "got", quiet).get([known])
    assert [path.read_bytes() for path in outcome.saved] == [BODY]
    assert troubled.ranges[0] is None
    assert re.fullmatch(r"bytes=[1-9]\d*-", troubled.ranges[1] or "")
    assert quiet.bytes == len(BODY)


async def test_a_broken_download_goes_on_where_a_redirect_led(
    troubled: TroubledServer, api: Api, tmp_path: Path
) -> None:
    troubled.breaks_after = 200_000
    known = item(troubled, original={"url": f"{troubled.url}/counted"})
    outcome = await Download(api, {"X-Gallery-Code": "abcd"}, tmp_path / "got", Recorder()).get([known])
    assert [path.read_bytes() for path in outcome.saved] == [BODY]
    assert len(troubled.ranges) > 1
    assert troubled.redirects == 1, "each redirect may count as a download"


async def test_an_expired_url_is_replaced(troubled: TroubledServer, api: Api, tmp_path: Path) -> None:
    troubled.troubles = [403]
    outcome = await Download(api, {"X-Gallery-Code": "abcd"}, tmp_path / "got", Recorder()).get(
        [item(troubled)]
    )
    assert [path.read_bytes() for path in outcome.saved] == [BODY]


async def test_bytes_that_differ_from_the_original_are_not_kept(
    troubled: TroubledServer, api: Api, tmp_path: Path
) -> None:
    outcome = await Download(api, {"X-Gallery-Code": "abcd"}, tmp_path / "got", Recorder()).get(
        [item(troubled, sha256="0" * 64)]
    )
    assert outcome.saved == []
    assert "SHA-256" in outcome.failed[0][1]
    assert list((tmp_path / "got").iterdir()) == []


async def test_an_item_without_an_original_is_reported(
    troubled: TroubledServer, api: Api, tmp_path: Path
) -> None:
    outcome = await Download(api, {"X-Gallery-Code": "abcd"}, tmp_path / "got", Recorder()).get(
        [item(troubled, original=None)]
    )
    assert outcome.unready == [MEDIA_ID]
    withheld = item(troubled, original=None, status="ready")
    outcome = await Download(api, {}, tmp_path / "got", Recorder()).get([withheld])
    assert (outcome.unready, outcome.withheld) == ([], [MEDIA_ID])


async def test_a_download_continues_only_if_the_file_is_unchanged(
    troubled: TroubledServer, api: Api, tmp_path: Path
) -> None:
    home = tmp_path / "got"
    home.mkdir()
    (home / f".{MEDIA_ID}.kappi-part").write_bytes(b"another version's beginning")
    (home / f".{MEDIA_ID}.kappi-etag").write_text('"another"')
    troubled.etag = '"this"'
    troubled.ranges.append("")  # no cut this time
    outcome = await Download(api, {"X-Gallery-Code": "abcd"}, home, Recorder()).get([item(troubled)])
    assert [path.read_bytes() for path in outcome.saved] == [BODY]
    assert troubled.if_ranges == ['"another"']
    assert [path.name for path in home.iterdir()] == ["a.jpg"]


async def test_a_download_completes_after_repeated_cuts(
    troubled: TroubledServer, api: Api, tmp_path: Path
) -> None:
    troubled.etag = '"this"'
    troubled.breaks_after = 30_000
    quiet = Recorder()
    outcome = await Download(api, {"X-Gallery-Code": "abcd"}, tmp_path / "got", quiet).get([item(troubled)])
    assert [path.read_bytes() for path in outcome.saved] == [BODY]
    assert len(troubled.ranges) > 2 * ATTEMPTS
    assert set(troubled.if_ranges[1:]) == {'"this"'}
    assert quiet.bytes == len(BODY)


async def test_requests_to_a_store_that_refuses_end(
    troubled: TroubledServer, api: Api, tmp_path: Path
) -> None:
    troubled.troubles = [500] * 50
    outcome = await Download(api, {"X-Gallery-Code": "abcd"}, tmp_path / "got", Recorder()).get(
        [item(troubled)]
    )
    assert "HTTP status 500" in outcome.failed[0][1]
    assert len(troubled.ranges) == ATTEMPTS
