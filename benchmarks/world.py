"""The measured system, and a client that prepares galleries, uploads and items on it."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
from kappi_contracts.grants import GRANT_HEADER
from PIL import Image

READY_DEADLINE_S = 300.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address that a scenario's requests go to."""

    host: str
    port: int

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.authority}"


@dataclass(frozen=True, slots=True)
class Gallery:
    id: str
    code: str
    access_key: str


class World:
    """The measured system. gateway: the gateway. services: the processes behind it, to measure them without
    it.

    introduction: the headers by which services identify themselves to each other. pids: returns the current
    pids of the whole stack.
    """

    def __init__(
        self,
        gateway: Endpoint,
        services: dict[str, Endpoint],
        *,
        introduction: Mapping[str, str],
        pids: Callable[[], set[int]],
    ) -> None:
        self.gateway = gateway
        self.services = services
        self.introduction = introduction
        self.pids = pids
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> World:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=32))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def ask(
        self, method: str, url: str, *, headers: dict[str, str] | None = None, body: Any = None
    ) -> Any:
        """Sends JSON and returns JSON. Raises RuntimeError with the answer when it is no success."""
        assert self._session is not None
        sent = {"content-type": "application/json", **(headers or {})}
        data = None if body is None else msgspec.json.encode(body)
        async with self._session.request(method, url, headers=sent, data=data) as answer:
            content = await answer.read()
            if answer.status >= 300:
                raise RuntimeError(f"{method} {url}: {answer.status} {content[:300]!r}")
            return msgspec.json.decode(content) if content else None

    async def new_gallery(self) -> Gallery:
        made = await self.ask("POST", f"{self.gateway.url}/v1/galleries", body={"title": "Benchmark"})
        return Gallery(made["id"], made["code"], made["access_key"])

    async def sign(self, gallery: Gallery, pictures: list[bytes]) -> list[Any]:
        """Signs a batch for these pictures. Returns the uploads of the answer."""
        answer = await self.ask(
            "POST",
            f"{self.gateway.url}/v1/galleries/{gallery.id}/uploads",
            headers={"x-gallery-key": gallery.access_key},
            body=batch_of([len(picture) for picture in pictures]),
        )
        uploads: list[Any] = answer["uploads"]
        return uploads

    async def put(self, upload: Any, picture: bytes) -> None:
        assert self._session is not None
        single = upload["single"]
        async with self._session.request(
            single["http_method"], single["url"], headers=single["headers"], data=picture
        ) as answer:
            if answer.status >= 300:
                raise RuntimeError(f"the store answered {answer.status}")

    async def uploaded(self, gallery: Gallery, pictures: list[bytes]) -> list[str]:
        """Signs and uploads, without completing. Returns upload ids."""
        ids: list[str] = []
        for start in range(0, len(pictures), 100):
            page = pictures[start : start + 100]
            uploads = await self.sign(gallery, page)
            await asyncio.gather(*map(self.put, uploads, page))
            ids += [upload["id"] for upload in uploads]
        return ids

    async def complete(self, gallery: Gallery, upload_id: str) -> Any:
        return await self.ask(
            "POST",
            f"{self.gateway.url}/v1/uploads/{upload_id}/complete",
            headers={"x-gallery-key": gallery.access_key},
            body={},
        )

    async def filled(self, pictures: list[bytes]) -> Gallery:
        """Returns a gallery with these pictures, all ready."""
        gallery = await self.new_gallery()
        ids = await self.uploaded(gallery, pictures)
        await asyncio.gather(*(self.complete(gallery, upload_id) for upload_id in ids))
        await self.until_ready(gallery, len(ids))
        return gallery

    async def view(self, gallery: Gallery) -> Any:
        return await self.ask("GET", f"{self.gateway.url}/v1/g/{gallery.code}?limit=500")

    async def until_ready(
        self,
        gallery: Gallery,
        count: int,
        *,
        every_s: float = 0.1,
        within_s: float = READY_DEADLINE_S,
    ) -> None:
        async with asyncio.timeout(within_s):
            while True:
                items = (await self.view(gallery))["items"]
                if sum(item["status"] == "ready" for item in items) >= count:
                    return
                await asyncio.sleep(every_s)

    async def grant(self, gallery: Gallery, *, manage: bool) -> dict[str, str]:
        """Returns the headers that the gateway would add, for requests to media without the gateway."""
        kind, body = (
            ("key", {"access_key": gallery.access_key}) if manage else ("view", {"code": gallery.code})
        )
        url = f"{self.services['galleries'].url}/internal/grants/{kind}"
        answer = await self.ask("POST", url, headers=dict(self.introduction), body=body)
        return {**self.introduction, GRANT_HEADER: answer["grant"]}


def batch_of(sizes: list[int]) -> Any:
    return {
        "files": [
            {"filename": f"IMG_{number:04}.jpg", "size": size, "content_type": "image/jpeg"}
            for number, size in enumerate(sizes)
        ]
    }


def small_pictures(count: int, *, seed: int = 1) -> list[bytes]:
    """Returns distinct JPEGs of a few kilobytes."""
    chooser = random.Random(seed)
    pictures = []
    for _ in range(count):
        target = io.BytesIO()
        colour = (chooser.randrange(256), chooser.randrange(256), chooser.randrange(256))
        Image.new("RGB", (320, 240), colour).save(target, "JPEG", quality=80)
        pictures.append(target.getvalue())
    return pictures


def camera_picture(width: int, height: int, *, seed: int = 1) -> bytes:
    """Returns a JPEG that compresses like a photograph: gradients under noise."""
    noise = Image.effect_noise((width // 4, height // 4), 40).resize((width, height))
    base = Image.merge(
        "RGB",
        (
            Image.linear_gradient("L").resize((width, height)),
            Image.radial_gradient("L").resize((width, height)),
            noise,
        ),
    )
    target = io.BytesIO()
    base.rotate(seed % 4).save(target, "JPEG", quality=90)
    return target.getvalue()


def utc_now_text() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
