"""Translates S3 errors into the contract's: missing, try later, or never."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kappi_chassis.storage.contract import (
    MultipartMissing,
    ObjectExistsAlready,
    ObjectMissing,
    StorageRefused,
    StorageUnavailable,
)

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_MISSING = frozenset({"NoSuchKey", "404", "NotFound", "NoSuchVersion"})
# Temporary 4xx answers: throttling, clocks that drift, credentials and buckets that an operator repairs (404
# that is not the object's).
_PASSING_4XX = frozenset({401, 403, 404, 408, 425, 429})
_PASSING = frozenset(
    {"RequestTimeout", "SlowDown"}
    | {"ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
    | {"OperationAborted", "ConditionalRequestConflict"}  # two requests at once, answered with 409
)
_UNKNOWN_TO_STORE = frozenset({"NotImplemented", "MethodNotAllowed", "UnsupportedOperation", "501", "405"})


def error_code(error: ClientError) -> str:
    """Returns the S3 error code, or the bare status if an answer has no body (HEAD)."""
    return str(error.response.get("Error", {}).get("Code", ""))


def error_status(error: ClientError) -> int:
    """Returns the HTTP status of the answer, 0 without one."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_unsupported(error: ClientError) -> bool:
    """Whether the store does not support the operation at all (versions, for example)."""
    return error_code(error) in _UNKNOWN_TO_STORE or error_status(error) in {405, 501}


@contextmanager
def translated_errors(key: str | None = None) -> Iterator[None]:
    """Translates botocore's failures into the contract's.

    key: the requested object; a 404 then means its absence.
    """
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ParamValidationError,
    )  # see s3_client.make_client

    try:
        yield
    except ClientError as error:
        code, status = error_code(error), error_status(error)
        if code == "NoSuchUpload":
            raise MultipartMissing from error
        if code == "PreconditionFailed" or status == 412:
            raise ObjectExistsAlready from error  # all conditions here demand that no object exists
        if key is not None and code in _MISSING:
            raise ObjectMissing(key) from error
        passing = code in _PASSING or status in _PASSING_4XX
        if 400 <= status < 500 and not passing:
            raise StorageRefused(f"S3 refused the request: {code} ({status})") from error
        raise StorageUnavailable(f"S3 answered {code or 'nothing known'} ({status})") from error
    except ParamValidationError as error:
        raise StorageRefused("the request is not one S3 knows") from error
    except BotoCoreError as error:
        # The class only, because the message may quote a URL.
        raise StorageUnavailable(f"S3 did not answer: {type(error).__name__}") from error
