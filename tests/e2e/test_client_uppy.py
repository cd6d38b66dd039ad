"""The Uppy example of docs/clients.md in a real browser, on a page of another origin."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from aiohttp import web
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import MovieShape, encode, movie, quadrants

from tests.clients.examples import examples
from tests.clients.toolchains import npm_packages
from tests.e2e.browser import Page
from tests.e2e.phone import Gallery, Phone
from tests.e2e.stacks import StackUnderTest

pytestmark = pytest.mark.real_servers

_FILM_BYTES = 22 << 20
_PAGE = """<!doctype html><meta charset="utf-8"><title>Uppy</title><script src="bundle.js"></script>"""
_ENTRY = """
import { kappiUppy } from './kappi-uppy.js'

window.calls = []
const originalFetch = window.fetch
window.fetch = (url, options = {}) => {
  const { pathname } = new URL(url, location)
  if (pathname.startsWith('/v1/')) window.calls.push(`${options.method ?? 'GET'} ${pathname}`)
  return originalFetch(url, options)
}

window.start = async (settings, names, afterFirstPart) => {
  const uppy = kappiUppy(settings)
  window.uppy = uppy
  for (const [name, type] of names) {
    uppy.addFile({ name, type, data: await (await originalFetch(name)).blob() })
  }
  if (afterFirstPart) uppy.once('s3-multipart:part-uploaded', () => afterFirstPart(uppy))
  const { successful, failed } = (await uppy.upload()) ?? {}
  window.result = {
    successful: (successful ?? []).map((file) => file.name).sort(),
    failed: (failed ?? []).map((file) => `${file.name}: ${file.error}`),
  }
}
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles the example and the packages it imports, as a page loads them."""
    folder = tmp_path_factory.mktemp("uppy")
    packages = npm_packages()
    (example,) = examples("uppy")
    (folder / "kappi-uppy.js").write_text(example)
    (folder / "entry.js").write_text(_ENTRY)
    done = subprocess.run(
        [
            str(packages / ".bin" / "esbuild"),
            *("entry.js", "--bundle", "--format=iife", "--outfile=bundle.js", "--log-level=warning"),
        ],
        cwd=folder,
        env={**os.environ, "NODE_PATH": str(packages)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (folder / "index.html").write_text(_PAGE)
    (folder / "photo.jpg").write_bytes(encode(quadrants(320, 240), "JPEG"))
    (folder / "film.mp4").write_bytes(_film())
    return folder


def _film() -> bytes:
    body = movie(MovieShape(faststart=True, codec="mpeg4"))
    left = _FILM_BYTES - len(body)
    return body + left.to_bytes(4, "big") + b"mdat" + os.urandom(left - 8)


@pytest.fixture
async def origin(bundle: Path) -> AsyncIterator[str]:
    """Yields the origin of the page, which differs from the API's."""
    app = web.Application()
    app.router.add_static("/", bundle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def gallery(stack: StackUnderTest, phone: Phone) -> Gallery:
    if stack.s3:
        await asyncio.to_thread(_allow_other_origins, stack)
    return await phone.create_gallery(title="Uppy")


@pytest.mark.timeout(240)
async def test_uppy_uploads_continues_and_completes(
    stack: StackUnderTest, phone: Phone, page: Page, origin: str, bundle: Path, gallery: Gallery
) -> None:
    await page.go(f"{origin}/index.html")
    pause = "(uppy) => { uppy.pauseAll(); setTimeout(() => uppy.resumeAll(), 300) }"
    await _start(page, stack, gallery, after_first_part=pause)
    result = await page.see("window.result")
    assert result == {"successful": ["film.mp4", "photo.jpg"], "failed": []}
    assert page.complaints == []
    calls = await page.ask("window.calls")
    assert calls.count(f"POST /v1/galleries/{gallery.id}/uploads") == 1, "one call for both"
    assert sum(call.endswith("/complete") for call in calls) == 2
    signed = [call for call in calls if call.endswith("/parts")]
    assert 3 <= len(signed) <= 4, "three parts of 8 MiB, one of them perhaps cut by the pause"
    assert set(signed) == {signed[0]}, "all of the film"
    assert signed[0].replace("POST", "GET").removesuffix("/parts") in calls, "the upload did not continue"

    items = {item["filename"]: item for item in await phone.until_ready(gallery, 2)}
    for name in ("photo.jpg", "film.mp4"):
        original = await phone.ask("GET", items[name]["original"]["url"])
        assert original.body == await asyncio.to_thread((bundle / name).read_bytes)
        assert items[name]["sha256"] == hashlib.sha256(original.body).hexdigest(), "it was not declared"


@pytest.mark.timeout(240)
async def test_uppy_aborts_an_upload(
    stack: StackUnderTest, phone: Phone, page: Page, origin: str, gallery: Gallery
) -> None:
    await page.go(f"{origin}/index.html")
    await _start(page, stack, gallery, after_first_part="(uppy) => uppy.cancelAll()")
    aborted = await page.see("window.calls.find((call) => call.startsWith('DELETE /v1/uploads/'))")
    upload_id = aborted.rpartition("/")[2]

    async def gone() -> None:
        answer = await phone.ask("GET", f"/v1/uploads/{upload_id}", headers=gallery.key)
        assert answer.ok()["state"] == "aborted"

    await eventually(gone)


def _allow_other_origins(stack: StackUnderTest) -> None:
    """Configures the bucket as the page says."""
    s3 = stack.s3
    client = boto3.client(
        "s3",
        endpoint_url=s3["KAPPI_S3_ENDPOINT"],
        region_name=s3["KAPPI_S3_REGION"],
        aws_access_key_id=s3["KAPPI_S3_ACCESS_KEY"],
        aws_secret_access_key=s3["KAPPI_S3_SECRET_KEY"],
    )
    (rules,) = examples("cors")
    try:
        client.put_bucket_cors(Bucket=s3["KAPPI_S3_BUCKET"], CORSConfiguration=json.loads(rules))
    finally:
        client.close()


async def _start(page: Page, stack: StackUnderTest, gallery: Gallery, *, after_first_part: str) -> None:
    settings: dict[str, Any] = {"api": stack.base_url, "galleryId": gallery.id, "headers": gallery.key}
    files = [["photo.jpg", "image/jpeg"], ["film.mp4", "video/mp4"]]
    await page.ask(f"void window.start({json.dumps(settings)}, {json.dumps(files)}, {after_first_part})")
