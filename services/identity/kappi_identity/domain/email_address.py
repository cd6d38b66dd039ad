"""The rules of email addresses: which texts are addresses, and which addresses are the same."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email

from kappi_identity.domain.accounts import TextRefused

MAX_EMAIL_CHARACTERS = 254


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """An email address. shown: as its owner writes it. normalised: the unique form; see `read_email`."""

    shown: str
    normalised: str


def read_email(text: str) -> EmailAddress:
    """Returns a typed address. Raises TextRefused.

    Addresses that differ only in case or in the Unicode form of the same characters are one account. Mail
    systems that distinguish them are rarer than people that forget which form they signed up with.
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
    """Returns the stored form of an address, for look-ups.

    A text that is no address gets a form that finds nothing.
    """
    try:
        return read_email(text).normalised
    except TextRefused:
        return unicodedata.normalize("NFKC", text.strip()).casefold().replace("\x00", "")
