"""Errors that calls of this package raise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class KappiError(Exception):
    """Base of the errors of this package. The message is for people to read."""


class ApiError(KappiError):
    """An error answer of the API, which is a problem document (RFC 9457).

    code: stable, for programs. retry_after_s: seconds, if the server names them. errors: `field` and
    `message` of each rejected field.
    """

    def __init__(
        self, status: int, document: Mapping[str, Any], *, retry_after_s: float | None = None
    ) -> None:
        self.status = status
        self.retry_after_s = retry_after_s
        self.code = str(document.get("code", f"http_{status}"))
        self.detail = str(document.get("detail") or document.get("title") or f"HTTP status {status}")
        self.errors: list[Mapping[str, str]] = list(document.get("errors", ()))
        self.request_id = document.get("request_id")
        fields = "; ".join(f"{error.get('field')}: {error.get('message')}" for error in self.errors)
        super().__init__(f"{fields or self.detail} ({self.code})")


class Unreachable(KappiError):
    """The API or the object store gave no usable answer until the retry deadline."""


class LoggedOut(KappiError):
    """The account has no valid log-in; the message says how to log in."""
