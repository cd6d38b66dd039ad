"""Many items of an account's library, changed by one call."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from fastapi import FastAPI, Request
from kappi_chassis.http.responses import JsonResponse
from kappi_chassis.idempotency import HEADER, IdempotentCall
from kappi_chassis.problems import FieldError, ValidationFailed
from starlette.responses import Response

from kappi_media.api import library_operations as operations
from kappi_media.api.accounts import AccountGate, AccountToken
from kappi_media.api.reading import decode, read_body
from kappi_media.domain import AccountId
from kappi_media.schemas import BulkChange, BulkResults
from kappi_media.use_cases.change_many import AddTags, Change, ChangeMany, Delete, TakeTags

_change = msgspec.json.Decoder(BulkChange)


class BulkApi:
    def __init__(self, gate: AccountGate, *, change_many: ChangeMany, idempotency_secret: bytes) -> None:
        self._gate = gate
        self._change_many = change_many
        self._idempotency_secret = idempotency_secret

    def register(self, app: FastAPI) -> None:
        app.add_api_route("/v1/media/bulk", self.change, methods=["POST"], **operations.BULK)

    async def change(self, request: Request, _token: AccountToken) -> Response:
        owner_id = await self._gate.open(request)
        body = await read_body(request)
        asked = decode(_change, body)
        key = request.headers.get(HEADER)
        call_of = self._calls(owner_id, key, body) if key is not None else None
        outcomes = await self._change_many(owner_id, asked.ids, change_of(asked), call_of=call_of)
        return JsonResponse(BulkResults(results=outcomes))

    def _calls(self, owner_id: AccountId, key: str, body: bytes) -> Callable[[int], IdempotentCall]:
        def call_of(chunk: int) -> IdempotentCall:
            scope = f"POST /v1/media/bulk {owner_id} {chunk}"
            return IdempotentCall(secret=self._idempotency_secret, key=key, scope=scope, body=body)

        return call_of


def change_of(asked: BulkChange) -> Change:
    """Raises ValidationFailed where tags are missing, or mean nothing."""
    if asked.action == "delete":
        if asked.tags:
            raise _invalid("tags", "invalid", "not for this action")
        return Delete()
    if not asked.tags:
        raise _invalid("tags", "missing", "one tag at least for this action")
    return AddTags(tuple(asked.tags)) if asked.action == "tag" else TakeTags(tuple(asked.tags))


def _invalid(field: str, code: str, message: str) -> ValidationFailed:
    return ValidationFailed(
        f"Look at: {field}.", errors=(FieldError(field=field, code=code, message=message),)
    )
