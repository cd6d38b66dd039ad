"""The handler that Lambda calls with an S3 event.

It is idempotent. A failure of any record is raised at the end, so that Lambda sends the event again and
finally moves it to a queue for an operator. The other records are then found done.

Environment: KAPPI_STORE_EVENTS_URL is the address of the media service, empty to write tags only;
KAPPI_STORE_EVENTS_SECRET is the ARN of the secret that contains its token.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from kappi_media.domain.object_tags import TagsUnreadable
from kappi_media.domain.store_events import UnreadableStoreEvent, originals, understand
from kappi_mediameta.probing import Rejected

from metadata_function.log import log
from metadata_function.originals import ObjectGone, Originals
from metadata_function.webhook import DeliveryFailed, Webhook

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 4})


class Unfinished(Exception):
    """A part of an event was not processed, so Lambda must send the event again."""


def handle(event: Any, _context: object) -> dict[str, int]:
    """Returns the numbers of originals in the event and of those tagged now. Raises Unfinished."""
    try:
        message = understand(event)
    except UnreadableStoreEvent as error:
        log("event.unreadable", why=str(error))
        raise Unfinished("the event cannot be read") from error
    outcomes = [_tag(bucket, key) for bucket, key in originals(message)]
    failures = list(_failures(outcomes, event))
    if failures:
        raise Unfinished("; ".join(failures))
    return {"originals": len(outcomes), "tagged": outcomes.count("tagged")}


def _tag(bucket: str, key: str) -> str:
    """Returns the outcome for one original. Only `failed` is worth another attempt."""
    try:
        stored = _originals().open(bucket, key)
        facts = _originals().facts(stored)
        outcome = "tagged" if _originals().tag(stored, facts) else "already"
    except ObjectGone:
        outcome = "gone"
    except Rejected as rejected:
        # Kappi itself refuses the file when it is notified.
        log("original.rejected", key=key, reason=rejected.reason.value)
        return "rejected"
    except TagsUnreadable as error:
        log("original.not_tagged", key=key, why=str(error))
        return "no_room"
    except ClientError as error:
        log("original.failed", key=key, code=error.response["Error"]["Code"])
        return "failed"
    except BotoCoreError as error:
        log("original.failed", key=key, error_type=type(error).__name__)
        return "failed"
    log("original.done", key=key, outcome=outcome)
    return outcome


def _failures(outcomes: list[str], event: Any) -> Iterator[str]:
    """Notifies Kappi and yields the failures.

    Kappi is notified even if tagging failed: an item without tags is better than no item.
    """
    if failed := outcomes.count("failed"):
        yield f"{failed} of {len(outcomes)} originals"
    webhook = _webhook()
    if webhook is None or not outcomes:
        return
    try:
        webhook.send(event)
    except DeliveryFailed as error:
        log("event.not_told", why=str(error))
        yield "Kappi was not told"
    except (BotoCoreError, ClientError) as error:
        log("event.not_told", error_type=type(error).__name__)
        yield "the token could not be read"


@functools.cache
def _originals() -> Originals:
    client = botocore.session.get_session().create_client("s3", config=_CONFIG)
    return Originals(cast("S3Client", client))


@functools.cache
def _webhook() -> Webhook | None:
    """Returns the webhook, or None if the function only writes tags."""
    url, secret = (os.environ.get(f"KAPPI_STORE_EVENTS_{name}", "") for name in ("URL", "SECRET"))
    if not url:
        return None
    client: Any = botocore.session.get_session().create_client("secretsmanager", config=_CONFIG)

    def read_token() -> str:
        return str(client.get_secret_value(SecretId=secret)["SecretString"])

    return Webhook(url, read_token=read_token)
