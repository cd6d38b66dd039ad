"""Changes many items of an account's library in one call."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from fastapi import FastAPI, Request
from kappi_chassis.http.idempotency import IdempotentCalls, idempotency_key
from kappi_chassis.http.responses import JsonResponse
from kappi_chassis.idempotency import IdempotentCall
from kappi_chassis.problems import FieldError, ValidationFailed
from starlette.responses import Response

from kappi_media.api import library_operations as operations
from kappi_media.api.access import GrantGate
from kappi_media.api.accounts import AccountGate, AccountToken
from kappi_media.api.reading import decode, read_body
from kappi_media.api.schemas import BulkChange, BulkResults
from kappi_media.domain.media import AccountId, GalleryId
from kappi_media.use_cases.change_many import AddTags, Change, ChangeMany, Delete, Move, TakeTags
from kappi_media.use_cases.move_items import AwaitMoves, MoveTarget

_change = msgspec.json.Decoder(BulkChange)


class BulkApi:
    def __init__(
        self,
        gate: AccountGate,
        *,
        grants: GrantGate,
        change_many: ChangeMany,
        move_target: MoveTarget,
        await_moves: AwaitMoves,
        calls: IdempotentCalls,
    ) -> None:
        self._gate = gate
        self._grants = grants
        self._change_many = change_many
        self._move_target = move_target
        self._await_moves = await_moves
        self._calls = calls

    def register(self, app: FastAPI) -> None:
        app.add_api_route("/v1/media/bulk", self.change, methods=["POST"], **operations.BULK)

    async def change(self, request: Request, _token: AccountToken) -> Response:
        owner_id = await self._gate.open(request)
        body = await read_body(request)
        asked = decode(_change, body)
        key = idempotency_key(request)
        call_of = self._calls_of_chunks(owner_id, key, body) if key is not None else None
        change = change_of(asked)
        if isinstance(change, Move):
            # Only the galleries service records the owner of an empty gallery. The gateway obtained the grant
            # from it.
            grant = await self._grants.open_for(request, "manage", gallery_id=change.gallery_id)
            await self._move_target(grant, owner_id=owner_id)
        outcomes = await self._change_many(owner_id, asked.ids, change, call_of=call_of)
        if isinstance(change, Move):
            outcomes = await self._await_moves(outcomes, owner_id=owner_id, gallery_id=change.gallery_id)
        return JsonResponse(BulkResults(results=outcomes))

    def _calls_of_chunks(self, owner_id: AccountId, key: str, body: bytes) -> Callable[[int], IdempotentCall]:
        return lambda chunk: self._calls.call(
            key, body, scope="POST /v1/media/bulk", caller=f"{owner_id} {chunk}"
        )


def change_of(asked: BulkChange) -> Change:
    """Returns the change. Raises ValidationFailed when tags or a gallery are missing, or do not belong to the
    action.
    """
    retags = asked.action in {"tag", "untag"}
    if asked.tags and not retags:
        raise _invalid("tags", "invalid", "not for this action")
    if asked.gallery_id is not None and asked.action != "move":
        raise _invalid("gallery_id", "invalid", "not for this action")
    if asked.action == "delete":
        return Delete()
    if asked.action == "move":
        if asked.gallery_id is None:
            raise _invalid("gallery_id", "missing", "where to move the items to")
        return Move(GalleryId(asked.gallery_id))
    if not asked.tags:
        raise _invalid("tags", "missing", "one tag at least for this action")
    return AddTags(tuple(asked.tags)) if asked.action == "tag" else TakeTags(tuple(asked.tags))


def _invalid(field: str, code: str, message: str) -> ValidationFailed:
    return ValidationFailed(
        f"Look at: {field}.", errors=(FieldError(field=field, code=code, message=message),)
    )
