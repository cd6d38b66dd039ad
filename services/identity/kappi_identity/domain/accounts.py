"""The rules of accounts, sessions and refresh tokens."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NewType
from uuid import UUID

AccountId = NewType("AccountId", UUID)
SessionId = NewType("SessionId", UUID)
Role = Literal["user", "admin"]

MAX_DISPLAY_NAME_CHARACTERS = 100
MAX_DEVICE_CHARACTERS = 200
MIN_PASSWORD_CHARACTERS = 8
MAX_PASSWORD_CHARACTERS = 256

# Control characters, surrogates, line and paragraph separators. Format characters stay allowed: emoji need
# them.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


class TextRefused(ValueError):
    """A text that breaks the rules of its field. code: stable, for machines."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def clean_display_name(text: str) -> str | None:
    """Returns the name without surrounding white space; None where nothing is left. Raises TextRefused."""
    name = text.strip()
    if len(name) > MAX_DISPLAY_NAME_CHARACTERS:
        raise TextRefused("too_long", f"A name has at most {MAX_DISPLAY_NAME_CHARACTERS} characters.")
    if any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in name):
        raise TextRefused("control_character", "A name is one line without control characters.")
    return name or None


def describe_device(user_agent: str | None) -> str | None:
    """Returns the text that a session list shows for the client program; None without a `User-Agent`."""
    shown = "".join(
        character
        for character in user_agent or ""
        if unicodedata.category(character) not in _REFUSED_CATEGORIES
    )
    return shown.strip()[:MAX_DEVICE_CHARACTERS] or None


def normal_password(text: str) -> str:
    """Returns one form for the same characters, which keyboards encode differently (NIST SP 800-63B,
    3.1.1.2).
    """
    return unicodedata.normalize("NFKC", text)


def check_password(password: str, *, email: str, common: frozenset[str]) -> None:
    """Check the length of a password and refuse common ones; there are no rules of composition (NIST SP
    800-63B).

    password: as `normal_password` returns it. common: the case-folded passwords to refuse. Raises
    TextRefused.
    """
    if len(password) < MIN_PASSWORD_CHARACTERS:
        raise TextRefused("too_short", f"A password has at least {MIN_PASSWORD_CHARACTERS} characters.")
    if len(password) > MAX_PASSWORD_CHARACTERS:
        raise TextRefused("too_long", f"A password has at most {MAX_PASSWORD_CHARACTERS} characters.")
    if any(unicodedata.category(character) == "Cs" for character in password):
        raise TextRefused("invalid", "A password is text.")
    folded = password.casefold()
    if folded in common or len(set(folded)) == 1:
        raise TextRefused("too_common", "This is one of the first passwords anybody would try.")
    if folded in (email.casefold(), email.casefold().partition("@")[0]):
        raise TextRefused("is_email", "A password must not be the email address.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account as stored. A deleted account is a tombstone without any personal data.

    version: grows with every published change. suspended_at: None for an account that may log in.
    suspension_reason: the text shown to its owner.
    """

    id: AccountId
    email: str | None
    display_name: str | None
    role: Role
    tier: str
    version: int
    created_at: datetime
    deleted_at: datetime | None
    suspended_at: datetime | None = None
    suspension_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One login, which is one family of refresh tokens. last_used_at: when it last received tokens."""

    id: SessionId
    account_id: AccountId
    device: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    revoked_at: datetime | None

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and self.expires_at > now


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPolicy:
    """The lifetime of a session. idle: without a refresh. longest: in total, however often it is refreshed.

    retry_grace: the time after a refresh in which its repetition counts as a retry after a lost answer.
    """

    idle: timedelta
    longest: timedelta
    retry_grace: timedelta

    def deadline(self, *, created_at: datetime, now: datetime) -> datetime:
        return min(now + self.idle, created_at + self.longest)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """A refresh token as stored, by its hash.

    used_at: when it was first exchanged. superseded_at: when a retry of the exchange that issued it returned
    another token in its place. successor_used: whether the token it was exchanged for was used itself.
    """

    used_at: datetime | None
    superseded_at: datetime | None
    successor_used: bool


RefreshVerdict = Literal["rotate", "retry", "theft"]


def judge_refresh(token: RefreshToken, *, now: datetime, grace: timedelta) -> RefreshVerdict:
    """Returns the meaning of a known token that is presented in a live session (RFC 9700, 4.14.2).

    rotate: it is the newest token. retry: it was just exchanged and its successor is unused, so the answer
    may have been lost; it is exchanged again, and the first answer's token becomes void. theft: two parties
    hold tokens of this family; one of them stole it, and which one cannot be determined.
    """
    if token.superseded_at is not None:
        return "theft"
    if token.used_at is None:
        return "rotate"
    if not token.successor_used and now - token.used_at <= grace:
        return "retry"
    return "theft"
