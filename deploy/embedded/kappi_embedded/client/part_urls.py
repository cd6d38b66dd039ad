"""Signed URLs of one upload's parts, a hundred at a time, replaced when they die."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from kappi_embedded.client.api import Api
from kappi_embedded.client.part_upload import SignedPut
from kappi_embedded.client.upload_state import Parts, signed_parts

_ASKED_AT_ONCE = 100


class PartUrls:
    """headers: the gallery's credentials. wanted: the numbers that will be sent, in order."""

    def __init__(
        self, api: Api, upload_id: str, parts: Parts, *, wanted: Sequence[int], headers: Mapping[str, str]
    ) -> None:
        self._api = api
        self._path = f"/v1/uploads/{upload_id}/parts"
        self._headers = headers
        self._wanted = wanted
        self._urls = dict(parts.urls)
        self._asking = asyncio.Lock()

    async def get(self, number: int) -> SignedPut:
        """Raises ApiError, Unreachable."""
        async with self._asking:
            if number not in self._urls:
                await self._ask_from(number)
            return self._urls[number]

    async def instead_of(self, dead: SignedPut, number: int) -> SignedPut:
        """A fresh one. Raises ApiError, Unreachable."""
        async with self._asking:
            if self._urls.get(number) == dead:
                self._urls.clear()  # the others are as old
            if number not in self._urls:
                await self._ask_from(number)
            return self._urls[number]

    async def _ask_from(self, number: int) -> None:
        at = self._wanted.index(number)
        numbers = self._wanted[at : at + _ASKED_AT_ONCE]
        answer = await self._api.call("POST", self._path, json={"numbers": numbers}, headers=self._headers)
        self._urls.update(signed_parts(answer["parts"]))
