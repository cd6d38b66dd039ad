"""The administrators' endpoints against misuse: suspending accounts and taking galleries down."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request
from kappi_chassis.http.app import problems
from kappi_chassis.http.documents import document_response, stored_document, stored_response
from kappi_chassis.http.idempotency import IdempotencyKey, IdempotentCalls
from kappi_chassis.idempotency import IdempotencyKeyInvalid, IdempotencyKeyReused, StoredAnswer
from kappi_chassis.pagination import page_by_id, position_of
from kappi_chassis.problems import MalformedJson, ValidationFailed
from starlette.responses import Response

from kappi_identity.api.access import CALLER_PROBLEMS, Access, Bearer, Cursor, Limit
from kappi_identity.api.admin import AccountIdPath
from kappi_identity.api.schemas import AccountAnswer, Suspension, TakedownAnswer, TakedownCreate, TakedownPage
from kappi_identity.domain.moderation import Takedown
from kappi_identity.errors import AccountNotFound, AdminNotSuspendable, AdminRequired, TakedownNotFound
from kappi_identity.repository.takedowns import TakedownQueries
from kappi_identity.use_cases.administration import Administration

CREATE_SCOPE = "POST /v1/admin/takedowns"
TakedownIdPath = Annotated[UUID, Path(description="The take-down's id")]


class ModerationApi:
    def __init__(
        self,
        administration: Administration,
        *,
        access: Access,
        takedowns: TakedownQueries,
        calls: IdempotentCalls,
    ) -> None:
        self._administration = administration
        self._access = access
        self._takedowns = takedowns
        self._calls = calls

    def router(self) -> APIRouter:
        router = APIRouter(tags=["Administration"])
        suspension = "/v1/admin/accounts/{account_id}/suspension"
        router.add_api_route(suspension, self.suspend, methods=["PUT"], **_SUSPEND)
        router.add_api_route(suspension, self.reinstate, methods=["DELETE"], **_REINSTATE)
        router.add_api_route("/v1/admin/takedowns", self.list, methods=["GET"], **_LIST)
        router.add_api_route("/v1/admin/takedowns", self.take_down, methods=["POST"], **_TAKE_DOWN)
        router.add_api_route("/v1/admin/takedowns/{takedown_id}", self.lift, methods=["DELETE"], **_LIFT)
        return router

    async def suspend(self, bearer: Bearer, account_id: AccountIdPath, body: Suspension) -> Response:
        caller = await self._access.admin(bearer)
        account = await self._administration.suspend_account(
            account_id, reason=body.reason, by=caller.account.id
        )
        return document_response(AccountAnswer.of(account))

    async def reinstate(self, bearer: Bearer, account_id: AccountIdPath) -> Response:
        caller = await self._access.admin(bearer)
        return document_response(
            AccountAnswer.of(await self._administration.reinstate_account(account_id, by=caller.account.id))
        )

    async def list(self, bearer: Bearer, limit: Limit = 50, cursor: Cursor = None) -> Response:
        await self._access.admin(bearer)
        found = await self._takedowns.page(containing=None, before=position_of(cursor), limit=limit + 1)
        page, next_cursor = page_by_id(found, limit=limit)
        items = [TakedownAnswer.of(takedown) for takedown in page]
        return document_response(TakedownPage(items=items, next_cursor=next_cursor))

    async def take_down(
        self, request: Request, bearer: Bearer, body: TakedownCreate, idempotency_key: IdempotencyKey = None
    ) -> Response:
        by = (await self._access.admin(bearer)).account.id
        call = await self._calls.read(request, idempotency_key, scope=CREATE_SCOPE, caller=str(by))
        answer = await self._administration.take_gallery_down.idempotently(
            body.gallery, call, reason=body.reason, by=by, render=_created
        )
        return stored_response(answer)

    async def lift(self, bearer: Bearer, takedown_id: TakedownIdPath) -> Response:
        caller = await self._access.admin(bearer)
        await self._administration.lift_takedown(takedown_id, by=caller.account.id)
        return Response(status_code=204)


def _created(takedown: Takedown) -> StoredAnswer:
    return stored_document(TakedownAnswer.of(takedown), status=201)


_ADMIN_PROBLEMS = (*CALLER_PROBLEMS, AdminRequired)
_SUSPEND: dict[str, Any] = {
    "operation_id": "suspendAccount",
    "summary": "Suspend an account",
    "description": "Ends the logins of the account and refuses new ones with the reason. Its galleries and "
    "posts are hidden within seconds. Nothing is deleted. An access token that was issued before stays valid "
    "for some minutes, for calls that need no gallery.",
    "response_model": AccountAnswer,
    "response_description": "The account after the change",
    "responses": problems(
        MalformedJson, *_ADMIN_PROBLEMS, AccountNotFound, AdminNotSuspendable, ValidationFailed
    ),
}
_REINSTATE: dict[str, Any] = {
    "operation_id": "reinstateAccount",
    "summary": "End the suspension of an account",
    "description": "The account may log in again, and its galleries are shown again within seconds.",
    "response_model": AccountAnswer,
    "response_description": "The account after the change",
    "responses": problems(*_ADMIN_PROBLEMS, AccountNotFound, ValidationFailed),
}
_LIST: dict[str, Any] = {
    "operation_id": "listTakedowns",
    "summary": "List take-downs",
    "description": "The newest first, lifted ones included.",
    "response_model": TakedownPage,
    "response_description": "A page of take-downs",
    "responses": problems(*_ADMIN_PROBLEMS, ValidationFailed),
}
_TAKE_DOWN: dict[str, Any] = {
    "operation_id": "takeGalleryDown",
    "summary": "Take a gallery down",
    "description": "Within seconds the content of the gallery is hidden, and its code is answered as if it "
    "did not exist. Its manager can read the reason. Nothing is deleted. A request that names no gallery "
    "has no effect.",
    "status_code": 201,
    "response_model": TakedownAnswer,
    "response_description": "The take-down",
    "responses": problems(
        MalformedJson, IdempotencyKeyInvalid, *_ADMIN_PROBLEMS, ValidationFailed, IdempotencyKeyReused
    ),
}
_LIFT: dict[str, Any] = {
    "operation_id": "liftTakedown",
    "summary": "Lift a take-down",
    "description": "The gallery is shown again within seconds, unless another take-down of it stands: each "
    "is lifted separately. Repeating it has no further effect.",
    "status_code": 204,
    "response_model": None,
    "response_description": "The take-down is lifted",
    "responses": problems(*_ADMIN_PROBLEMS, TakedownNotFound, ValidationFailed),
}
