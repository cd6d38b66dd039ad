"""The HTTP request and response bodies of webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from kappi_chassis.http.unknown_fields import RequestBody
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from kappi_identity.domain.webhook_targets import MAX_URL_CHARACTERS
from kappi_identity.domain.webhooks import (
    WEBHOOK_EVENTS,
    CallError,
    Delivery,
    DeliveryStatus,
    DisabledReason,
    Webhook,
    WebhookEvent,
)

_EXAMPLE: JsonDict = {"url": "https://example.com/kappi", "events": ["media.ready", "media.deleted"]}


def _each_once(events: list[WebhookEvent]) -> list[WebhookEvent]:
    return list(dict.fromkeys(events))


Url = Annotated[
    str,
    Field(
        max_length=MAX_URL_CHARACTERS,
        description="Where the events are posted: `https`, a public address",
        json_schema_extra={"format": "uri"},
        examples=["https://example.com/kappi"],
    ),
]
Events = Annotated[
    list[WebhookEvent],
    AfterValidator(_each_once),
    Field(
        min_length=1,
        max_length=len(WEBHOOK_EVENTS),
        description="The events that are posted. One that is named twice is posted once",
        examples=[["media.ready"]],
    ),
]


class WebhookCreate(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    url: Url
    events: Events


class WebhookPatch(RequestBody):
    """The changes of a webhook. A field that is not sent stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": True}]})

    # Null would mean nothing for these fields, so a default that is never used stands for "not sent".
    url: Url = ""
    events: Events = Field(default=[])
    enabled: Annotated[
        bool,
        Field(
            strict=True,
            description="true enables a disabled webhook and forgets its failures; false disables it: its "
            "pending deliveries fail, and events are not delivered later",
        ),
    ] = True


class WebhookAnswer(BaseModel):
    """A URL that is called about events of the account."""

    id: UUID
    url: str
    events: list[WebhookEvent]
    enabled: bool
    created_at: datetime
    failing_since: datetime | None = Field(description="The first failure after the last success")
    disabled_at: datetime | None
    disabled_reason: DisabledReason | None = Field(
        description="`requested` by its owner, `gone` after an answer 410, `failing` after a day without a "
        "success"
    )
    dropped_deliveries: int = Field(
        description="Deliveries that were removed before they were made, because too many waited"
    )

    @classmethod
    def of(cls, webhook: Webhook) -> WebhookAnswer:
        return cls.model_validate(_fields(webhook))


class WebhookCreated(WebhookAnswer):
    """A new webhook, with its secret."""

    secret: str = Field(
        description="Key of the signatures, in this answer only. Libraries of Standard Webhooks read it",
        examples=["whsec_…"],
    )

    @classmethod
    def with_secret(cls, webhook: Webhook, secret: str) -> WebhookCreated:
        return cls.model_validate({**_fields(webhook), "secret": secret})


class WebhookPage(BaseModel):
    items: list[WebhookAnswer]
    next_cursor: str | None


class DeliveryAnswer(BaseModel):
    """One event for one webhook."""

    id: UUID = Field(description="Also the header `webhook-id`")
    event: WebhookEvent
    status: DeliveryStatus
    attempts: int = Field(description="Calls since it was queued or sent again")
    created_at: datetime
    next_attempt_at: datetime | None = Field(
        description="null unless it is pending. The calls of a failing webhook pause, so it may be later"
    )
    last_attempt_at: datetime | None
    last_status: int | None = Field(description="HTTP status of the last call; null without an answer")
    last_error: CallError | None = Field(description="Why the last call got no answer")

    @classmethod
    def of(cls, delivery: Delivery) -> DeliveryAnswer:
        return cls.model_validate(delivery, from_attributes=True)


class DeliveryPage(BaseModel):
    items: list[DeliveryAnswer]
    next_cursor: str | None


def _fields(webhook: Webhook) -> dict[str, object]:
    return {
        "id": webhook.id,
        "url": webhook.url,
        "events": list(webhook.events),
        "enabled": webhook.disabled_at is None,
        "created_at": webhook.created_at,
        "failing_since": webhook.failing_since,
        "disabled_at": webhook.disabled_at,
        "disabled_reason": webhook.disabled_reason,
        "dropped_deliveries": webhook.dropped,
    }
