"""Errors of the API, with what to do about them on a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from kappi_client import ApiError
from kappi_client.refusals import duration, in_words

HINTS: Mapping[str, str] = {
    "access_token_invalid": "log in again with `kappi login`",
    "account_suspended": "the account is suspended: ask the people who run this Kappi",
    "account_required": "log in with `kappi login` first",
    "expiry_not_for_accounts": "leave out --expires-in, or `kappi logout` first",
    "gallery_taken_down": "an administrator took the gallery down: ask the people who run this Kappi",
    "gallery_not_found": "look at the code again; galleries that expired or were made private are gone, too",
    "gallery_password_required": "give it with --password",
    "gallery_password_wrong": "give the right one with --password",
    "invalid_grant": "look at both and try again",
    "not_found": "is this the address of a Kappi? See --url and KAPPI_URL",
    "quota_exceeded": "delete something first, or have an administrator give the account another tier",
    "storage_full": "the operator has to make room",
}
"""What to do, by the error's code."""


def explained(error: ApiError) -> str:
    """Returns the fault of a call, and the next step of the user."""
    hint = HINTS.get(error.code)
    if hint is None and error.retry_after_s is not None:
        hint = f"try again in {duration(error.retry_after_s)}"
    return in_words(str(error)) + (f": {hint}" if hint else "")
