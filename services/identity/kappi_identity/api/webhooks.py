"""The endpoints of an account's webhooks."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request
from kappi_chassis.http.app import problems
from kappi_chassis.http.documents import document_response, stored_document, stored_response
from kappi_chassis.http.idempotency import IdempotencyKey, IdempotentCalls, SecretIdempotencyKey
from kappi_chassis.idempotency import IdempotencyKeyInvalid, IdempotencyKeyReused, StoredAnswer
from kappi_chassis.pagination import Count, cursor_of, cut_page, fields_of, page_by_id, position_of
from kappi_chassis.problems import MalformedJson, ValidationFailed
from starlette.responses import Response

from kappi_identity.api.access import CALLER_PROBLEMS, Access, Bearer, Cursor, Limit
from kappi_identity.api.webhook_schemas import (
    DeliveryAnswer,
    DeliveryPage,
    WebhookAnswer,
    WebhookCreate,
    WebhookCreated,
    WebhookPage,
    WebhookPatch,
)
from kappi_identity.domain.webhooks import Delivery, Webhook
from kappi_identity.errors import (
    DeliveryNotFound,
    InvalidWebhookUrl,
    WebhookDisabled,
    WebhookLimitReached,
    WebhookNotFound,
)
from kappi_identity.repository.deliveries import DeliveryQueries
from kappi_identity.repository.webhooks import WebhookQueries
from kappi_identity.use_cases.webhooks import (
    ChangeWebhook,
    CreateWebhook,
    DeleteWebhook,
    ResendDelivery,
    WebhookChange,
)

CREATE_SCOPE = "POST /v1/webhooks"
RESEND_SCOPE = "POST /v1/webhooks/{id}/deliveries/{delivery_id}/resend"
WebhookIdPath = Annotated[UUID, Path(description="The webhook's id")]
DeliveryIdPath = Annotated[UUID, Path(description="The delivery's id")]


class WebhookApi:
    def __init__(
        self,
        *,
        access: Access,
        webhooks: WebhookQueries,
        deliveries: DeliveryQueries,
        create_webhook: CreateWebhook,
        change_webhook: ChangeWebhook,
        delete_webhook: DeleteWebhook,
        resend_delivery: ResendDelivery,
        calls: IdempotentCalls,
    ) -> None:
        self._access = access
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._create_webhook = create_webhook
        self._change_webhook = change_webhook
        self._delete_webhook = delete_webhook
        self._resend_delivery = resend_delivery
        self._calls = calls

    def router(self) -> APIRouter:
        router = APIRouter(tags=["Webhooks"])
        one = "/v1/webhooks/{webhook_id}"
        router.add_api_route("/v1/webhooks", self.create, methods=["POST"], **_CREATE)
        router.add_api_route("/v1/webhooks", self.list, methods=["GET"], **_LIST)
        router.add_api_route(one, self.read, methods=["GET"], **_READ)
        router.add_api_route(one, self.change, methods=["PATCH"], **_CHANGE)
        router.add_api_route(one, self.delete, methods=["DELETE"], **_DELETE)
        router.add_api_route(f"{one}/deliveries", self.list_deliveries, methods=["GET"], **_DELIVERIES)
        resend = f"{one}/deliveries/{{delivery_id}}/resend"
        router.add_api_route(resend, self.resend, methods=["POST"], **_RESEND)
        return router

    async def create(
        self,
        request: Request,
        bearer: Bearer,
        body: WebhookCreate,
        idempotency_key: SecretIdempotencyKey = None,
    ) -> Response:
        account_id = (await self._access.caller(bearer)).account.id
        call = await self._calls.read_secret(
            request, idempotency_key, scope=CREATE_SCOPE, caller=str(account_id)
        )
        return stored_response(
            await self._create_webhook(
                account_id, url=body.url, events=body.events, call=call, render=_created
            )
        )

    async def list(self, bearer: Bearer, limit: Limit = 50, cursor: Cursor = None) -> Response:
        account = (await self._access.caller(bearer)).account
        found = await self._webhooks.page(account.id, before=position_of(cursor), limit=limit + 1)
        page, next_cursor = page_by_id(found, limit=limit)
        items = [WebhookAnswer.of(webhook) for webhook in page]
        return document_response(WebhookPage(items=items, next_cursor=next_cursor))

    async def read(self, bearer: Bearer, webhook_id: WebhookIdPath) -> Response:
        return document_response(WebhookAnswer.of(await self._find(bearer, webhook_id)))

    async def change(self, bearer: Bearer, webhook_id: WebhookIdPath, body: WebhookPatch) -> Response:
        account_id = (await self._access.caller(bearer)).account.id
        sent = body.model_fields_set
        change = WebhookChange(
            url=body.url if "url" in sent else None,
            events=body.events if "events" in sent else None,
            enabled=body.enabled if "enabled" in sent else None,
        )
        return document_response(WebhookAnswer.of(await self._change_webhook(webhook_id, account_id, change)))

    async def delete(self, bearer: Bearer, webhook_id: WebhookIdPath) -> Response:
        account_id = (await self._access.caller(bearer)).account.id
        await self._delete_webhook(webhook_id, account_id)
        return Response(status_code=204)

    async def list_deliveries(
        self, bearer: Bearer, webhook_id: WebhookIdPath, limit: Limit = 50, cursor: Cursor = None
    ) -> Response:
        webhook = await self._find(bearer, webhook_id)
        before = fields_of(cursor, tuple[Count])[0] if cursor else None
        found = await self._deliveries.page(webhook.id, before=before, limit=limit + 1)
        page, last = cut_page(found, limit=limit)
        items = [DeliveryAnswer.of(delivery) for delivery in page]
        next_cursor = None if last is None else cursor_of(last.number)
        return document_response(DeliveryPage(items=items, next_cursor=next_cursor))

    async def resend(
        self,
        request: Request,
        bearer: Bearer,
        webhook_id: WebhookIdPath,
        delivery_id: DeliveryIdPath,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        account_id = (await self._access.caller(bearer)).account.id
        scope = RESEND_SCOPE.format(id=webhook_id, delivery_id=delivery_id)
        call = await self._calls.read(request, idempotency_key, scope=scope, caller=str(account_id))
        return stored_response(
            await self._resend_delivery(webhook_id, delivery_id, account_id, call=call, render=_queued)
        )

    async def _find(self, bearer: Bearer, webhook_id: UUID) -> Webhook:
        account = (await self._access.caller(bearer)).account
        webhook = await self._webhooks.find(webhook_id, account.id)
        if webhook is None:
            raise WebhookNotFound
        return webhook


def _created(webhook: Webhook, secret: str) -> StoredAnswer:
    return stored_document(WebhookCreated.with_secret(webhook, secret), status=201)


def _queued(delivery: Delivery) -> StoredAnswer:
    return stored_document(DeliveryAnswer.of(delivery), status=202)


_CREATE: dict[str, Any] = {
    "operation_id": "createWebhook",
    "summary": "Create a webhook",
    "description": "The URL is called with a POST about each of these events that concerns galleries, items "
    "and posts of the account. The calls are signed by the scheme of Standard Webhooks; the `secret` in this "
    "answer is the key, and it is not shown again. Answer with any 2xx within seconds. Other answers are "
    "retried for a day; then the webhook is disabled and its owner gets a mail. 410 disables it at once.",
    "status_code": 201,
    "response_model": WebhookCreated,
    "response_description": "The webhook, with its secret",
    "responses": problems(
        MalformedJson,
        IdempotencyKeyInvalid,
        *CALLER_PROBLEMS,
        WebhookLimitReached,
        InvalidWebhookUrl,
        ValidationFailed,
        IdempotencyKeyReused,
    ),
}
_LIST: dict[str, Any] = {
    "operation_id": "listWebhooks",
    "summary": "List my webhooks",
    "description": "The newest first.",
    "response_model": WebhookPage,
    "response_description": "A page of webhooks",
    "responses": problems(*CALLER_PROBLEMS, ValidationFailed),
}
_READ: dict[str, Any] = {
    "operation_id": "getWebhook",
    "summary": "Read a webhook",
    "description": "Shows whether it is disabled and why. The secret is not shown again.",
    "response_model": WebhookAnswer,
    "response_description": "The webhook",
    "responses": problems(*CALLER_PROBLEMS, WebhookNotFound, ValidationFailed),
}
_CHANGE: dict[str, Any] = {
    "operation_id": "updateWebhook",
    "summary": "Change a webhook",
    "description": "A field that is not sent stays as it is. A new URL gets the pending deliveries, too.",
    "response_model": WebhookAnswer,
    "response_description": "The webhook after the change",
    "responses": problems(
        MalformedJson, *CALLER_PROBLEMS, WebhookNotFound, InvalidWebhookUrl, ValidationFailed
    ),
}
_DELETE: dict[str, Any] = {
    "operation_id": "deleteWebhook",
    "summary": "Delete a webhook",
    "description": "Its deliveries are deleted, too. A call that is going on may still arrive.",
    "status_code": 204,
    "response_model": None,
    "response_description": "The webhook is deleted",
    "responses": problems(*CALLER_PROBLEMS, WebhookNotFound, ValidationFailed),
}
_DELIVERIES: dict[str, Any] = {
    "operation_id": "listDeliveries",
    "summary": "List the deliveries of a webhook",
    "description": "The newest first. They are kept for some days, and as many as the deployment allows.",
    "response_model": DeliveryPage,
    "response_description": "A page of deliveries",
    "responses": problems(*CALLER_PROBLEMS, WebhookNotFound, ValidationFailed),
}
_RESEND: dict[str, Any] = {
    "operation_id": "resendDelivery",
    "summary": "Send a delivery again",
    "description": "Queues it with the same `webhook-id`, whatever became of it, and with a new day for "
    "retries. One that is pending is due at once.",
    "status_code": 202,
    "response_model": DeliveryAnswer,
    "response_description": "The delivery, which is pending",
    "responses": problems(
        IdempotencyKeyInvalid,
        *CALLER_PROBLEMS,
        WebhookNotFound,
        DeliveryNotFound,
        WebhookDisabled,
        ValidationFailed,
        IdempotencyKeyReused,
    ),
}
