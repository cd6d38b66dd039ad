"""The outcome of each item that one call changes."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType


class BulkOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of one item. pending: it will be moved soon. code: of a refusal, as of a problem."""

    id: UUID
    status: Literal["done", "pending", "refused"]
    code: str | UnsetType = UNSET
