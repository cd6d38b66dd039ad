"""The rules of administrators' decisions against misuse: takedowns of galleries, and their reasons."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import NewType
from uuid import UUID

from kappi_identity.domain.accounts import AccountId, TextRefused

TakedownId = NewType("TakedownId", UUID)

MAX_REASON_CHARACTERS = 500
_GALLERY = re.compile(r"[a-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Takedown:
    """The decision that a gallery is not shown. gallery: its id, or its code at the time of the decision.

    lifted_at: None while the decision holds.
    """

    id: TakedownId
    gallery: str
    reason: str
    ordered_by: AccountId
    ordered_at: datetime
    lifted_by: AccountId | None
    lifted_at: datetime | None


def clean_reason(text: str) -> str:
    """Returns the reason that is shown to the owner. Raises TextRefused."""
    reason = text.strip()
    if not reason:
        raise TextRefused("too_short", "Say why: the owner is told.")
    if len(reason) > MAX_REASON_CHARACTERS:
        raise TextRefused("too_long", f"A reason has at most {MAX_REASON_CHARACTERS} characters.")
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in reason):
        raise TextRefused("control_character", "A reason is one line without control characters.")
    return reason


def clean_gallery(text: str) -> str:
    """Returns the id or code in a text, which may be a link that ends with it. Raises TextRefused."""
    named = text.strip().rstrip("/").rpartition("/")[2].lower()
    if _GALLERY.fullmatch(named) is None:
        raise TextRefused("invalid", "Give the id or the code of a gallery, or its link.")
    return named
