"""A large file in parts, from a phone that closes the app half way, through the gateway to a ready item."""

from __future__ import annotations

import asyncio
import hashlib
import random
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from kappi_testkit.eventually import eventually

from tests.e2e.phone import Answer, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

pytestmark = pytest.mark.real_servers

MIB = 1 << 20
SIDE = 4600


def _bitmap() -> bytes:
    """Returns an incompressible picture of 60 MiB: a BMP of noise."""
    pixels = random.Random(60).randbytes(SIDE * SIDE * 3)
    header = struct.pack("<2sIHHI", b"BM", 54 + len(pixels), 0, 0, 54)
    return header + struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, 24, 0, len(pixels), 0, 0, 0, 0) + pixels


class _App:
    def __init__(self, phone: Phone, gallery: Gallery, secrets: set[str]) -> None:
        self._phone = phone
        self._gallery = gallery
        self._secrets = secrets

    async def ask(self, method: str, path: str, json: Any = None) -> Answer:
        return await self._phone.insist(method, path, json=json, headers=self._gallery.key)

    async def send(self, body: bytes, *, part_size: int, parts: Sequence[Mapping[str, Any]]) -> list[Answer]:
        self._secrets.update(part["url"] for part in parts)

        async def one(part: Mapping[str, Any]) -> Answer:
            piece = body[(part["number"] - 1) * part_size : part["number"] * part_size]
            return await self._phone.insist("PUT", part["url"], body=piece, headers=part["headers"])

        return await asyncio.gather(*(one(part) for part in parts))


@pytest.mark.timeout(240)
async def test_an_upload_of_sixty_megabytes_continues(stack: StackUnderTest, phone: Phone) -> None:
    body = await asyncio.to_thread(_bitmap)
    digest = hashlib.sha256(body).hexdigest()
    gallery = await phone.create_gallery()
    app = _App(phone, gallery, stack.secrets)
    file = {"filename": "noise.bmp", "size": len(body), "content_type": "image/bmp", "sha256": digest}
    answer = await app.ask(
        "POST", f"/v1/galleries/{gallery.id}/uploads", {"files": [file], "connection": "fast"}
    )
    (upload,) = answer.ok(201)["uploads"]
    multipart = upload["multipart"]
    assert (upload["method"], multipart["part_size"], multipart["part_count"]) == ("multipart", 16 * MIB, 4)
    by_number = {part["number"]: part for part in multipart["parts"]}
    stack.secrets.update(part["url"] for part in multipart["parts"])

    sent = await app.send(body, part_size=16 * MIB, parts=[by_number[3], by_number[1]])
    assert [each.status for each in sent] == [200, 200]
    assert all(each.headers["ETag"] for each in sent)

    # The app is opened again, and has only the upload's id.
    path = f"/v1/uploads/{upload['id']}"
    (await app.ask("POST", f"{path}/complete")).problem(409, "upload_incomplete")
    state = (await app.ask("GET", path)).ok()["multipart"]
    assert [part["number"] for part in state["present"]] == [1, 3]
    assert [part["number"] for part in state["parts"]] == [2, 4]
    fresh = (await app.ask("POST", f"{path}/parts", {"numbers": [4, 2]})).ok()["parts"]
    assert [each.status for each in await app.send(body, part_size=16 * MIB, parts=fresh)] == [200, 200]
    item = (await app.ask("POST", f"{path}/complete")).ok()
    assert (item["id"], item["size"], item["sha256"]) == (upload["media_id"], len(body), digest)

    async def ready() -> None:
        shown = (await app.ask("GET", f"/v1/media/{item['id']}")).ok()
        assert (shown["status"], shown["width"], shown["height"]) == ("ready", SIDE, SIDE)

    await eventually(ready, 90)
    (again,) = (await phone.ask("GET", f"/v1/g/{gallery.code}")).ok()["items"]
    stack.secrets.add(again["original"]["url"])
    fetched = await phone.ask("GET", again["original"]["url"])
    assert hashlib.sha256(fetched.body).hexdigest() == digest
    assert (await app.ask("DELETE", f"/v1/galleries/{gallery.id}")).status == 204


async def test_an_aborted_upload_accepts_no_parts(stack: StackUnderTest, phone: Phone) -> None:
    gallery = await phone.create_gallery()
    app = _App(phone, gallery, stack.secrets)
    file = {"filename": "a.mp4", "size": 17 * MIB, "content_type": "video/mp4"}
    answer = await app.ask("POST", f"/v1/galleries/{gallery.id}/uploads", {"files": [file]})
    (upload,) = answer.ok(201)["uploads"]
    path = f"/v1/uploads/{upload['id']}"
    last = upload["multipart"]["parts"][-1]
    assert last["number"] == 3
    assert (await app.ask("DELETE", path)).status == 204
    (late,) = await app.send(bytes(17 * MIB), part_size=8 * MIB, parts=[last])
    assert late.status == 404
    (await app.ask("POST", f"{path}/parts", {"numbers": [1]})).problem(409, "upload_aborted")
    (await app.ask("POST", f"{path}/complete")).problem(409, "upload_aborted")
