"""What both kinds of body have in common: content that flows by, and what is said about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from kappi_chassis.problems import BadRequest, FieldError

from kappi_media.schemas import PostedFile


class MalformedBase64(BadRequest):
    code, title = "malformed_base64", "The content is not base64"

    def __init__(self, detail: str) -> None:
        error = FieldError(field="content_base64", code=self.code, message=detail)
        super().__init__(f"Look at: content_base64. {detail}", errors=(error,))


class PostedBody(Protocol):
    """A request's body. `content` is iterated once; only then is the `declaration` complete: fields may
    follow the file."""

    def content(self) -> AsyncIterator[bytes]:
        """The file, decoded, in pieces of some 64 KiB. Raises Problem, ClientDisconnect."""
        ...

    def declaration(self) -> PostedFile:
        """What was said about the file. Raises ValidationFailed, MalformedJson, MalformedForm."""
        ...
