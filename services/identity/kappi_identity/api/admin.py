"""The administrators' endpoints for tiers and for the tiers of accounts."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from kappi_chassis.http.app import problems
from kappi_chassis.http.documents import document_response, stored_document, stored_response
from kappi_chassis.http.idempotency import IdempotencyKey, IdempotentCalls
from kappi_chassis.idempotency import IdempotencyKeyInvalid, IdempotencyKeyReused, StoredAnswer
from kappi_chassis.pagination import page_by_id, position_of
from kappi_chassis.problems import MalformedJson, ValidationFailed
from kappi_contracts.tiers import TierRules
from starlette.responses import Response

from kappi_identity.api.access import CALLER_PROBLEMS, Access, Bearer, Cursor, Limit
from kappi_identity.api.schemas import (
    AccountAnswer,
    AccountPage,
    TierAnswer,
    TierChoice,
    TierCreate,
    TierPage,
    TierPatch,
)
from kappi_identity.domain.tiers import Tier
from kappi_identity.errors import (
    AccountNotFound,
    AdminRequired,
    TierInUse,
    TierNotForAccounts,
    TierNotFound,
    TierProtected,
    TierTaken,
)
from kappi_identity.repository.accounts import AccountQueries
from kappi_identity.repository.tiers import TierQueries
from kappi_identity.use_cases.administration import Administration

CREATE_SCOPE = "POST /v1/admin/tiers"
TierNamePath = Annotated[str, Path(max_length=100, description="The tier's name, in any case")]
AccountIdPath = Annotated[UUID, Path(description="The account's id")]
EmailPart = Annotated[
    str | None, Query(max_length=254, description="A part of the address or the display name")
]


class AdminApi:
    def __init__(
        self,
        administration: Administration,
        *,
        access: Access,
        tiers: TierQueries,
        accounts: AccountQueries,
        calls: IdempotentCalls,
    ) -> None:
        self._administration = administration
        self._access = access
        self._tiers = tiers
        self._accounts = accounts
        self._calls = calls

    def router(self) -> APIRouter:
        router = APIRouter(tags=["Administration"])
        tiers, tier = "/v1/admin/tiers", "/v1/admin/tiers/{name}"
        router.add_api_route(tiers, self.list_tiers, methods=["GET"], **_LIST)
        router.add_api_route(tiers, self.create_tier, methods=["POST"], **_CREATE)
        router.add_api_route(tier, self.read_tier, methods=["GET"], **_READ)
        router.add_api_route(tier, self.change_tier, methods=["PATCH"], **_CHANGE)
        router.add_api_route(tier, self.remove_tier, methods=["DELETE"], **_REMOVE)
        router.add_api_route("/v1/admin/accounts", self.list_accounts, methods=["GET"], **_ACCOUNTS)
        router.add_api_route(
            "/v1/admin/accounts/{account_id}/tier", self.move_account, methods=["PUT"], **_MOVE
        )
        return router

    async def list_tiers(self, bearer: Bearer) -> Response:
        await self._access.admin(bearer)
        items = [TierAnswer.of(tier) for tier in await self._tiers.all()]
        return document_response(TierPage(items=items, next_cursor=None))

    async def create_tier(
        self, request: Request, bearer: Bearer, body: TierCreate, idempotency_key: IdempotencyKey = None
    ) -> Response:
        caller = await self._access.admin(bearer)
        call = await self._calls.read(
            request, idempotency_key, scope=CREATE_SCOPE, caller=str(caller.account.id)
        )
        answer = await self._administration.create_tier.idempotently(
            body.name, body.rules(), call, render=_created
        )
        return stored_response(answer)

    async def read_tier(self, bearer: Bearer, name: TierNamePath) -> Response:
        await self._access.admin(bearer)
        tier = await self._tiers.find(name)
        if tier is None:
            raise TierNotFound
        return document_response(TierAnswer.of(tier))

    async def change_tier(self, bearer: Bearer, name: TierNamePath, body: TierPatch) -> Response:
        await self._access.admin(bearer)
        sent = {field: getattr(body, field) for field in body.model_fields_set}
        if "rendition_sizes" in sent:
            sent["rendition_sizes"] = tuple(sent["rendition_sizes"])

        def change(rules: TierRules) -> TierRules:
            return replace(rules, **sent)

        return document_response(TierAnswer.of(await self._administration.change_tier(name, change)))

    async def remove_tier(self, bearer: Bearer, name: TierNamePath) -> Response:
        await self._access.admin(bearer)
        await self._administration.delete_tier(name)
        return Response(status_code=204)

    async def list_accounts(
        self, bearer: Bearer, email: EmailPart = None, limit: Limit = 50, cursor: Cursor = None
    ) -> Response:
        await self._access.admin(bearer)
        found = await self._accounts.page(containing=email, before=position_of(cursor), limit=limit + 1)
        page, next_cursor = page_by_id(found, limit=limit)
        items = [AccountAnswer.of(account) for account in page]
        return document_response(AccountPage(items=items, next_cursor=next_cursor))

    async def move_account(self, bearer: Bearer, account_id: AccountIdPath, body: TierChoice) -> Response:
        await self._access.admin(bearer)
        return document_response(AccountAnswer.of(await self._administration.set_tier(account_id, body.tier)))


def _created(tier: Tier) -> StoredAnswer:
    return stored_document(TierAnswer.of(tier), status=201)


_ADMIN_PROBLEMS = (*CALLER_PROBLEMS, AdminRequired)
_LIST: dict[str, Any] = {
    "operation_id": "listTiers",
    "summary": "List the tiers",
    "description": "All tiers on one page, ordered by name.",
    "response_model": TierPage,
    "response_description": "The tiers",
    "responses": problems(*_ADMIN_PROBLEMS),
}
_CREATE: dict[str, Any] = {
    "operation_id": "createTier",
    "summary": "Create a tier",
    "description": "Names that differ only in case are the same. The name of a deleted tier may be used "
    "again and then has its old spelling.",
    "status_code": 201,
    "response_model": TierAnswer,
    "response_description": "The tier",
    "responses": problems(
        MalformedJson,
        IdempotencyKeyInvalid,
        *_ADMIN_PROBLEMS,
        TierTaken,
        ValidationFailed,
        IdempotencyKeyReused,
    ),
}
_READ: dict[str, Any] = {
    "operation_id": "getTier",
    "summary": "Read a tier",
    "description": "The tier with this name, in any case.",
    "response_model": TierAnswer,
    "response_description": "The tier",
    "responses": problems(*_ADMIN_PROBLEMS, TierNotFound, ValidationFailed),
}
_CHANGE: dict[str, Any] = {
    "operation_id": "updateTier",
    "summary": "Change the rules of a tier",
    "description": "The new rules apply within seconds to every account of the tier.",
    "response_model": TierAnswer,
    "response_description": "The tier after the change",
    "responses": problems(MalformedJson, *_ADMIN_PROBLEMS, TierNotFound, ValidationFailed),
}
_REMOVE: dict[str, Any] = {
    "operation_id": "deleteTier",
    "summary": "Delete a tier",
    "description": "A tier that an account has cannot be deleted, and neither can Anonymous, Traveller, "
    "Basic, Premium, Enterprise and the tier of new accounts.",
    "status_code": 204,
    "response_model": None,
    "response_description": "The tier is deleted",
    "responses": problems(*_ADMIN_PROBLEMS, TierNotFound, TierInUse, TierProtected, ValidationFailed),
}
_ACCOUNTS: dict[str, Any] = {
    "operation_id": "listAccounts",
    "summary": "List accounts",
    "description": "The newest first.",
    "response_model": AccountPage,
    "response_description": "A page of accounts",
    "responses": problems(*_ADMIN_PROBLEMS, ValidationFailed),
}
_MOVE: dict[str, Any] = {
    "operation_id": "setAccountTier",
    "summary": "Set the tier of an account",
    "description": "The rules of the tier apply within seconds.",
    "response_model": AccountAnswer,
    "response_description": "The account after the change",
    "responses": problems(
        MalformedJson, *_ADMIN_PROBLEMS, AccountNotFound, TierNotFound, ValidationFailed, TierNotForAccounts
    ),
}
