"""Uploads: sign a batch or parts, show, complete, abort."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import FastAPI, Path, Request
from kappi_chassis.http.app import hot_route
from kappi_chassis.http.idempotency import IdempotentCalls, idempotency_key
from kappi_chassis.http.responses import JsonResponse, json_response
from kappi_chassis.idempotency import IdempotentCall
from kappi_chassis.time_left import seconds_left
from kappi_contracts.grants import Grant
from starlette.responses import Response

from kappi_media.api import operations
from kappi_media.api.access import ClientAddresses, GrantGate, contributor_of, owner_of, party_of, share_of
from kappi_media.api.batches import read_batch
from kappi_media.api.item_answers import ItemAnswers
from kappi_media.api.presentation import present_upload
from kappi_media.api.reading import decode, read_body, uuid_of
from kappi_media.api.schemas import Completion, PartNumbers, PromisedBatch, SidecarWaiting, SignedParts
from kappi_media.domain.contributions import ContributorId
from kappi_media.domain.media import GalleryId, UploadId
from kappi_media.errors import GalleryKeyWrong, UploadNotFound
from kappi_media.use_cases.complete import CompleteUpload
from kappi_media.use_cases.contributions import OwnContributions
from kappi_media.use_cases.declare_uploads import Batch
from kappi_media.use_cases.governing_tier import GoverningTier
from kappi_media.use_cases.sign_batch import SignBatch
from kappi_media.use_cases.uploads import AbortUpload, LookAtUpload, SignParts

SIGNED_HEADER = "x-kappi-signed"
"""The header with the number of files that an answer signs: the cost of the call for the gateway's limits.
The gateway does not pass it on to clients.
"""

UploadIdPath = Annotated[UUID, Path(alias="id", description="Id of the upload")]

_numbers = msgspec.json.Decoder(PartNumbers)
# Some generated clients send `null` for a body that is left out.
_completion: msgspec.json.Decoder[Completion | None] = msgspec.json.Decoder(Completion | None)
_encoder = msgspec.json.Encoder()


class UploadApi:
    def __init__(
        self,
        gate: GrantGate,
        *,
        addresses: ClientAddresses,
        own: OwnContributions,
        tier: GoverningTier,
        sign_batch: SignBatch,
        look: LookAtUpload,
        sign_parts: SignParts,
        complete: CompleteUpload,
        abort: AbortUpload,
        answers: ItemAnswers,
        calls: IdempotentCalls,
    ) -> None:
        self._gate = gate
        self._addresses = addresses
        self._own = own
        self._tier = tier
        self._sign_batch = sign_batch
        self._look = look
        self._sign_parts = sign_parts
        self._complete = complete
        self._abort = abort
        self._answers = answers
        self._calls = calls

    def register(self, app: FastAPI) -> None:
        hot_route(
            app,
            "/v1/galleries/{id}/uploads",
            self.sign,
            method="POST",
            openapi=operations.SIGN_BATCH,
        )
        hot_route(
            app,
            "/v1/uploads/{id}/complete",
            self.complete,
            method="POST",
            openapi=operations.COMPLETE_UPLOAD,
        )
        hot_route(
            app,
            "/v1/uploads/{id}/parts",
            self.sign_parts,
            method="POST",
            openapi=operations.SIGN_PARTS,
        )
        path = "/v1/uploads/{id}"
        app.add_api_route(path, self.look, methods=["GET"], **operations.LOOK_AT_UPLOAD)
        app.add_api_route(path, self.abort, methods=["DELETE"], **operations.ABORT_UPLOAD)

    async def sign(self, request: Request) -> Response:
        gallery_id = uuid_of(request.path_params["id"])
        if gallery_id is None:
            raise GalleryKeyWrong
        grant = await self._gate.open_for(request, "contribute", gallery_id=gallery_id)
        contributor = contributor_of(grant)
        body = await read_body(request)
        owner_id = owner_of(grant)
        rules = await self._tier.of(grant)
        declared = read_batch(body, rules)
        files = declared.files
        address_id = self._addresses.id_of(request)
        connection = declared.connection or "normal"
        batch = Batch(GalleryId(gallery_id), owner_id, address_id, rules, files, connection, contributor)
        signed = {SIGNED_HEADER: str(len(files))}
        key = idempotency_key(request)
        call = None if key is None else self._idempotent_call(grant, key, body)
        uploads = await self._sign_batch(batch, call)
        return json_response(_encoder.encode(PromisedBatch(uploads=uploads)), status=201, headers=signed)

    async def look(self, upload_id: UploadIdPath, request: Request) -> Response:
        grant = await self._gate.open(request, "contribute")
        contributor_of(grant)  # the answer signs URLs anew
        await self._check_own(grant, UploadId(upload_id))
        return JsonResponse(
            present_upload(await self._look(UploadId(upload_id), GalleryId(grant.gallery_id)))
        )

    async def sign_parts(self, request: Request) -> Response:
        grant = await self._gate.open(request, "contribute")
        upload_id = _upload_id(request)
        contributor_of(grant)
        await self._check_own(grant, upload_id)
        numbers = decode(_numbers, await read_body(request)).numbers
        signed = await self._sign_parts(upload_id, GalleryId(grant.gallery_id), numbers)
        expires_in = seconds_left(signed.expires_at, now=signed.signed_at)
        answer = SignedParts(parts=signed.parts, expires_at=signed.expires_at, expires_in=expires_in)
        return json_response(_encoder.encode(answer))

    async def complete(self, request: Request) -> Response:
        grant = await self._gate.open(request, "contribute")
        upload_id = _upload_id(request)
        contributor_of(grant)
        await self._check_own(grant, upload_id)
        body = await read_body(request)
        completion = decode(_completion, body) if body else None
        parts = (completion.parts if completion else None) or ()
        share = share_of(grant, self._addresses.id_of(request))
        item = await self._complete(upload_id, GalleryId(grant.gallery_id), parts=parts, share=share)
        if item is None:
            return json_response(_encoder.encode(SidecarWaiting()), status=202)
        return json_response(_encoder.encode(await self._answers(item, grant)))

    async def abort(self, upload_id: UploadIdPath, request: Request) -> Response:
        grant = await self._gate.open(request, "contribute")
        await self._check_own(grant, UploadId(upload_id))
        await self._abort(UploadId(upload_id), GalleryId(grant.gallery_id))
        return Response(status_code=204)

    async def _check_own(self, grant: Grant, upload_id: UploadId) -> None:
        """Raises UploadNotFound for a contributor that did not declare the upload itself."""
        if grant.contributor is not None:
            contributor_id = ContributorId(grant.contributor.id)
            await self._own.check_upload(contributor_id, upload_id, GalleryId(grant.gallery_id))

    def _idempotent_call(self, grant: Grant, key: str, body: bytes) -> IdempotentCall:
        scope = f"POST /v1/galleries/{grant.gallery_id}/uploads"
        return self._calls.call(key, body, scope=scope, caller=party_of(grant))


def _upload_id(request: Request) -> UploadId:
    upload_id = uuid_of(request.path_params["id"])
    if upload_id is None:
        raise UploadNotFound
    return UploadId(upload_id)
