"""Expected failures and the problem documents made of them (RFC 9457).

A service raises a subclass of `Problem` with a stable `code`; the chassis alone turns it into HTTP. Codes are
part of the public contract: clients rely on them, so they never change meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

PROBLEM_JSON = "application/problem+json"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One rejected field. `field` is a dotted path into the body, query or headers."""

    field: str
    code: str
    message: str


class Problem(Exception):
    """An expected failure with an HTTP meaning.

    detail: a sentence for developers: the fault and what to do next. retry_after_s: seconds, becomes the
    `Retry-After` header.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: tuple[FieldError, ...] = (),
        retry_after_s: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = errors
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(retry_after_s)


class BadRequest(Problem):
    status, code, title = 400, "bad_request", "The request cannot be understood"


class MalformedJson(BadRequest):
    code, title = "malformed_json", "The body is not valid JSON"


class Unauthenticated(Problem):
    """Has a challenge, as every 401 must (RFC 9110, section 15.5.2)."""

    status, code, title = 401, "credentials_missing", "Credentials are needed"

    def __init__(self, detail: str | None = None, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer", **(headers or {})})


class Forbidden(Problem):
    status, code, title = 403, "forbidden", "Not allowed"


class NotFound(Problem):
    status, code, title = 404, "not_found", "There is nothing here"


class MethodNotAllowed(Problem):
    status, code, title = 405, "method_not_allowed", "The method is not allowed here"


class RequestTimeout(Problem):
    status, code, title = 408, "request_timeout", "The request did not arrive in time"


class Conflict(Problem):
    status, code, title = 409, "conflict", "The state does not allow this"


class Gone(Problem):
    status, code, title = 410, "gone", "It is no longer here"


class PayloadTooLarge(Problem):
    status, code, title = 413, "payload_too_large", "The body is too large"


class UnsupportedMediaType(Problem):
    status, code, title = 415, "unsupported_media_type", "The content type is not supported"


class Unprocessable(Problem):
    status, code, title = 422, "unprocessable", "The content cannot be processed"


class ValidationFailed(Unprocessable):
    code, title = "validation_failed", "A field is not valid"


class UnknownField(Unprocessable):
    code, title = "unknown_field", "A field or parameter is not known"


class TooManyRequests(Problem):
    status, code, title = 429, "too_many_requests", "Slow down"


class InsufficientStorage(Problem):
    """The store is full; only uploads fail."""

    status, code, title = 507, "storage_full", "The store has no room at the moment"


class Unavailable(Problem):
    status, code, title = 503, "unavailable", "Not available at the moment"


class Overloaded(Unavailable):
    code, title = "overloaded", "Too busy to answer in time"


def problem_body(problem: Problem, request_id: str, *, status: int | None = None) -> bytes:
    """Returns the JSON of a problem document; `type` is a stable URN made from the code.

    status: replaces the problem's own if given.
    """
    document: dict[str, Any] = {
        "type": f"urn:kappi:problem:{problem.code}",
        "title": problem.title,
        "status": status or problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "request_id": request_id,
    }
    if problem.errors:
        document["errors"] = [
            {"field": error.field, "code": error.code, "message": error.message} for error in problem.errors
        ]
    return msgspec.json.encode(document)
