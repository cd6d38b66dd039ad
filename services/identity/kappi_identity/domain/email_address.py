"""Email addresses: what counts as one, and when two are the same."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email

from kappi_identity.domain.accounts import TextRefused

MAX_EMAIL_CHARACTERS = 254


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """shown: as its owner writes it. normalised: what makes it unique; see `read_email`."""

    shown: str
    normalised: str


def read_email(text: str) -> EmailAddress:
    """An address somebody typed. Raises TextRefused.

    Addresses that differ only in case or in how Unicode spells the same characters are one account: mail
    systems that tell them apart are rarer than people who forget which they signed up with.
    """
    trimmed = text.strip()
    if len(trimmed) > MAX_EMAIL_CHARACTERS:
        raise TextRefused("too_long", f"An email address has at most {MAX_EMAIL_CHARACTERS} characters.")
    try:
        found = validate_email(trimmed, check_deliverability=False)
    except EmailNotValidError as error:
        raise TextRefused("invalid_email", str(error)) from error
    return EmailAddress(
        shown=found.normalized,
        normalised=unicodedata.normalize("NFKC", found.normalized).casefold(),
    )


def normal_form(text: str) -> str:
    """How an address would be stored, for looking it up; also of texts that are none, which find nothing."""
    try:
        return read_email(text).normalised
    except TextRefused:
        return unicodedata.normalize("NFKC", text.strip()).casefold().replace("\x00", "")
