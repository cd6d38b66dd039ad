"""Takes a small file by form or JSON, and streams it to the store."""

from __future__ import annotations

import msgspec
from fastapi import FastAPI, Request
from kappi_chassis.http.form_stream import MAX_BESIDE_BYTES
from kappi_chassis.http.idempotency import IdempotentCalls, idempotency_key
from kappi_chassis.http.responses import json_response
from kappi_chassis.http.turns import Turns
from kappi_chassis.problems import UnsupportedMediaType
from kappi_contracts.grants import Grant
from starlette.responses import Response

from kappi_media.api import small_upload_operations
from kappi_media.api.access import ClientAddresses, GrantGate, contributor_of, owner_of, party_of
from kappi_media.api.direct_upload.form_body import FormBody
from kappi_media.api.direct_upload.json_body import JsonBody
from kappi_media.api.item_answers import ItemAnswers
from kappi_media.api.reading import pieces_of, uuid_of
from kappi_media.domain.media import GalleryId
from kappi_media.errors import FileTooLarge, GalleryKeyWrong
from kappi_media.use_cases.governing_tier import GoverningTier
from kappi_media.use_cases.post_file import CallOf, FileOrder, PostedBody, PostFile

TIMEOUT_S = 10.0
"""The longest wait of a file for its turn."""
# The largest and the smallest part of a body that is file content. Line breaks and escapes lengthen base64.
_AS_IT_IS = (1.0, 1.0)
_AS_BASE64 = (0.75, 0.5)
_encoder = msgspec.json.Encoder()


class SmallUploadApi:
    """Takes files in the request's body.

    max_file_bytes: of the file itself. at_once: files being received at the same time; each holds up to 600
    KiB, and what the store's client needs to stream it. Others wait for their turn, and their bodies are not
    read meanwhile.
    """

    def __init__(
        self,
        gate: GrantGate,
        *,
        addresses: ClientAddresses,
        tier: GoverningTier,
        post: PostFile,
        answers: ItemAnswers,
        calls: IdempotentCalls,
        max_file_bytes: int,
        at_once: int,
    ) -> None:
        self._gate = gate
        self._addresses = addresses
        self._tier = tier
        self._post = post
        self._answers = answers
        self._calls = calls
        self._max_file_bytes = max_file_bytes
        self._turns = Turns(
            at_once,
            timeout_s=TIMEOUT_S,
            refusal="Too many files are being received.",
            retry_after_s=5,
        )

    def register(self, app: FastAPI) -> None:
        path = "/v1/galleries/{id}/media"
        app.add_api_route(path, self.post, methods=["POST"], **small_upload_operations.POST_FILE)

    async def post(self, request: Request) -> Response:
        gallery_id = uuid_of(request.path_params["id"])
        if gallery_id is None:
            raise GalleryKeyWrong
        grant = await self._gate.open_for(request, "contribute", gallery_id=gallery_id)
        contributor = contributor_of(grant)
        rules = await self._tier.of(grant)
        limit = min(self._max_file_bytes, rules.max_file_bytes)
        body, at_most_bytes = _body_of(request, limit=limit)
        address_id = self._addresses.id_of(request)
        order = FileOrder(
            GalleryId(gallery_id), owner_of(grant), address_id, rules, at_most_bytes, contributor
        )
        async with self._turns.taken():
            item = await self._post(order, body, self._call_of(request, grant))
        return json_response(_encoder.encode(await self._answers(item, grant)), status=201)

    def _call_of(self, request: Request, grant: Grant) -> CallOf | None:
        scope = f"POST /v1/galleries/{grant.gallery_id}/media"
        return self._calls.fingerprinted(idempotency_key(request), scope=scope, caller=party_of(grant))


def _body_of(request: Request, *, limit: int) -> tuple[PostedBody, int]:
    """Returns the body, and the largest size that its file can have.

    Raises UnsupportedMediaType, MalformedForm, FileTooLarge.
    """
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    length = request.headers.get("content-length", "")
    length_bytes = int(length) if length.isdigit() else None
    if kind == "multipart/form-data":
        body: PostedBody = FormBody(pieces_of(request), content_type=content_type)
        most, least = _AS_IT_IS
    elif kind == "application/json":
        body = JsonBody(pieces_of(request))
        most, least = _AS_BASE64
    else:
        raise UnsupportedMediaType("Send multipart/form-data with a file, or application/json.")
    if length_bytes is None:
        return body, limit
    if (length_bytes - MAX_BESIDE_BYTES) * least > limit:
        raise FileTooLarge(f"The largest file taken here has {limit} bytes.")
    return body, max(1, min(limit, int(length_bytes * most)))
