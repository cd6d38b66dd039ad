"""Sharing from the home page: thirty files are dropped, a link, refusals, duplicates."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from base64 import b64encode
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
from kappi_chassis.storage.create_bucket import create_bucket
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e.accounts import sign_up
from tests.e2e.browser import Page
from tests.e2e.phone import Phone
from tests.e2e.stacks import StackUnderTest
from tests.e2e.web_stories import look, push, unexpected

FILES = "[data-choose=files]"
TITLE = ".share form input"
_HEADLINE = "document.querySelector('.progress strong')?.textContent"
_LINK = "document.querySelector('.share input[readonly]')?.value"
_FORGOTTEN = """
new Promise(done => {
  const opening = indexedDB.open("kappi-uploads");
  opening.onsuccess = () => {
    const counting = opening.result.transaction("shares").objectStore("shares").count();
    counting.onsuccess = () => done(counting.result === 0);
  };
})
"""
_MANAGEMENT = "[...document.querySelectorAll('.share input[readonly]')].at(-1).value"


@pytest.mark.real_servers
@pytest.mark.timeout(300)
async def test_thirty_files_are_dropped_and_shared(
    stack: StackUnderTest, phone: Phone, page: Page, photos: list[Path], tmp_path: Path
) -> None:
    twin = tmp_path / "twin.jpg"
    twin.write_bytes(photos[0].read_bytes())
    text, broken = tmp_path / "notes.txt", tmp_path / "broken.jpg"
    text.write_text("no picture")
    broken.write_bytes(b"no picture" * 99)

    if stack.s3:
        await asyncio.to_thread(_prepare_bucket, stack)
    await page.go(stack.base_url)
    await page.see(f"!!document.querySelector('{FILES}')")
    await look(page, "share-empty")
    await page.drop("main .zone", *photos, twin, text, broken)
    await page.see(f"{_HEADLINE} === '33 files chosen'")
    reasons = "[...document.querySelectorAll('details li p')].map(one => one.innerText)"
    await page.see(f"{reasons}.some(text => text.startsWith('twin.jpg') && text.includes('chosen twice'))")
    await page.see(f"{reasons}.some(text => text.startsWith('notes.txt') && text.includes('another kind'))")
    await page.see("[...document.querySelectorAll('[data-state] img')].length > 6")
    await look(page, "share-chosen")

    await page.write(TITLE, "Lofoten <b>")
    await push(page, "Get a link")
    shared = await page.see(_LINK)
    await page.see(f"/^Finished/.test({_HEADLINE})")
    await page.see(f"{reasons}.some(text => text.startsWith('broken.jpg') && text.includes('damaged'))")
    pictures = "[...document.querySelectorAll('[data-state=ready] img')]"
    await page.see(f"{pictures}.length > 6 && {pictures}.every(one => !one.src.startsWith('blob:'))")
    await look(page, "share-done")
    assert await page.ask("document.querySelector('h1').textContent") == "Lofoten <b>"

    # What the gallery has already, from elsewhere, is named before it is sent.
    there = tmp_path / "there.png"
    there.write_bytes(encode(quadrants(320, 240), "PNG"))
    management = urlsplit(await page.ask(_MANAGEMENT))
    posted = {"filename": "other.png", "content_base64": b64encode(there.read_bytes()).decode()}
    path = f"/v1/galleries/{management.path.rpartition('/')[2]}/media"
    await phone.ask("POST", path, json=posted, headers={"X-Gallery-Key": management.fragment})
    puts = [one for one in page.requested if "/original" in one]
    await page.put(FILES, there)
    await page.see(f"{reasons}.some(text => text.startsWith('there.png') && text.includes('already'))")
    assert [one for one in page.requested if "/original" in one and one not in puts] == []

    items = await phone.items(shared.rpartition("/")[2])
    digests = {item["filename"]: item["sha256"] for item in items if item["filename"] != "other.png"}
    unique = {hashlib.sha256(photo.read_bytes()).hexdigest() for photo in photos}
    assert sorted(digests.values()) == sorted(unique), digests
    batches = [one for one in page.requested if re.search(r"/v1/galleries/[^/]+/uploads$", one)]
    assert len(batches) == 2, "one for all that were dropped, one for the file that came later"
    await page.see(_FORGOTTEN)  # with the access key
    assert list(unexpected(page)) == []


@pytest.mark.timeout(240)
async def test_an_account_shares_a_folder_with_a_password(
    stack: StackUnderTest, phone: Phone, page: Page, photos: list[Path], tmp_path: Path
) -> None:
    person = await sign_up(stack, phone, "sharer")
    folder = tmp_path / "Reise" / "Tag 1"
    folder.mkdir(parents=True)
    for photo in photos[:2]:
        (folder / photo.name).write_bytes(photo.read_bytes())
    (folder / ".hidden.jpg").write_bytes(b"no picture")
    (folder.parent / "Thumbs.db").write_bytes(b"no picture")
    await page.go(stack.base_url)
    await page.ask(f"localStorage.setItem('kappi.refresh-token', {json.dumps(person.refresh_token)})")
    await page.go(stack.base_url)
    await page.see("document.body.innerText.includes('belongs to your account')")
    await page.drop("main .zone", folder.parent)
    await page.see(f"{_HEADLINE} === '2 files chosen'")
    await page.write("input[type=password]", "for friends only")
    await look(page, "share-account")
    await push(page, "Get a link")
    shared = await page.see(_LINK)
    await page.see(f"{_HEADLINE} === 'All 2 files are in the gallery.'")
    path = f"/v1/g/{shared.rpartition('/')[2]}"
    assert (await phone.ask("GET", path)).status == 401
    view = (await phone.ask("GET", path, headers={"X-Gallery-Password": "for friends only"})).ok()
    assert view["gallery"]["expires_at"] is None
    assert sorted(item["filename"] for item in view["items"]) == sorted(photo.name for photo in photos[:2])
    assert page.complaints == []


def _prepare_bucket(stack: StackUnderTest) -> None:
    """Does what the job `create-bucket` does, so that the bucket takes what pages of another origin send."""
    s3 = stack.s3
    client = boto3.client(
        "s3",
        endpoint_url=s3["KAPPI_S3_ENDPOINT"],
        region_name=s3["KAPPI_S3_REGION"],
        aws_access_key_id=s3["KAPPI_S3_ACCESS_KEY"],
        aws_secret_access_key=s3["KAPPI_S3_SECRET_KEY"],
    )
    try:
        create_bucket(client, s3["KAPPI_S3_BUCKET"], region=s3["KAPPI_S3_REGION"])
    finally:
        client.close()
