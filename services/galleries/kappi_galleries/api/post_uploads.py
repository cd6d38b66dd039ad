"""Reads a post's picture from the body of a request: a form with one file and a caption."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from kappi_chassis.http.form_stream import MAX_BESIDE_BYTES, FormStream, field_fault
from kappi_chassis.http.unknown_fields import refuse_unknown_fields
from kappi_chassis.problems import FieldError, Overloaded, PayloadTooLarge, ValidationFailed
from pydantic import BaseModel, ValidationError

from kappi_galleries.api.posts_schemas import Caption, PostFromItem
from kappi_galleries.errors import FileTooLarge

MAX_PICTURE_BYTES = 100 << 20
"""Limit of a post's picture, as the API promises; the account's tier may allow less."""
MAX_JSON_BYTES = 64 << 10
_PIECE_BYTES = 64 << 10


class _FormFields(BaseModel):
    """The form's fields beside the file."""

    caption: Caption = None


class PostForm:
    """The `PictureUpload` of a multipart request. Raises MalformedForm, FileTooLarge."""

    def __init__(self, request: Request, *, content_type: str) -> None:
        self._form = FormStream(_pieces(request), content_type=content_type)
        length = request.headers.get("content-length", "")
        self.at_most_bytes = int(length) if length.isdigit() else None
        if self.at_most_bytes is not None and self.at_most_bytes > MAX_PICTURE_BYTES + MAX_BESIDE_BYTES:
            raise _too_large()

    async def content(self) -> AsyncIterator[bytes]:
        """Yields the picture.

        Raises FileTooLarge, MalformedForm, ValidationFailed (no file), ClientDisconnect.
        """
        size_bytes = 0
        async for piece in self._form.content():
            size_bytes += len(piece)
            if size_bytes > MAX_PICTURE_BYTES:
                raise _too_large()
            yield piece
        if self._form.file is None:
            error = FieldError(field="file", code="missing", message="Send the picture as the field `file`.")
            raise ValidationFailed("Look at: file.", errors=(error,))

    def caption(self) -> str | None:
        """Returns the caption; None for an empty field.

        Raises UnknownField, MalformedForm, ValidationFailed.
        """
        refuse_unknown_fields(self._form.fields, known=_FormFields.model_fields)
        values = self._form.fields.get("caption", ())
        if len(values) > 1:
            raise field_fault("caption", "It is there twice.")
        if not values or not values[0]:
            return None
        with _as_body_errors():
            return _FormFields(caption=values[0]).caption


async def read_item_post(request: Request) -> PostFromItem:
    """Returns the JSON body of a post made of an item.

    Raises PayloadTooLarge, MalformedJson, ValidationFailed.
    """
    chunks, size_bytes = [], 0
    async for chunk in request.stream():
        size_bytes += len(chunk)
        if size_bytes > MAX_JSON_BYTES:
            raise PayloadTooLarge(f"A JSON body may have {MAX_JSON_BYTES} bytes here.")
        chunks.append(chunk)
    with _as_body_errors():
        return PostFromItem.model_validate_json(b"".join(chunks))


class UploadPlaces:
    """The uploads that this process receives at once. Each holds a request's place until it ends."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take a place for the duration of the context. Raises Overloaded."""
        if not self._free:
            raise Overloaded("Too many pictures are being received.", retry_after_s=5)
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


@contextmanager
def _as_body_errors() -> Iterator[None]:
    """Report pydantic's errors in the same form as for every other body."""
    try:
        yield
    except ValidationError as error:
        found = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(found) from error


def _too_large() -> FileTooLarge:
    return FileTooLarge(f"The largest picture of a post has {MAX_PICTURE_BYTES} bytes.")


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """Yields the body in pieces of bounded size, however it arrives. Raises ClientDisconnect."""
    async for chunk in request.stream():
        for start in range(0, len(chunk), _PIECE_BYTES):
            yield chunk[start : start + _PIECE_BYTES]
