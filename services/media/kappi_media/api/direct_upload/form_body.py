"""Reads a posted file from a multipart form."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec
from kappi_chassis.http.form_stream import FILE_FIELD, FormStream, field_fault
from kappi_chassis.http.unknown_fields import refuse_unknown_fields
from kappi_chassis.problems import FieldError

from kappi_media.api.faults import faults_of
from kappi_media.api.reading import check_attributes, refusal
from kappi_media.domain.declarations import PostedFile

_TEXTS: Final = frozenset({"caption", "location", "sha256"})
_FIELDS: Final = _TEXTS | {"tags", "attributes"}


class FormBody:
    """A `PostedBody` in a form. chunks: the body as it arrives. Raises MalformedForm for an invalid
    boundary.
    """

    def __init__(self, chunks: AsyncIterator[bytes], *, content_type: str) -> None:
        self._form = FormStream(chunks, content_type=content_type)

    def content(self) -> AsyncIterator[bytes]:
        return self._form.content()

    def declaration(self) -> PostedFile:
        refuse_unknown_fields(self._form.fields, known=_FIELDS)
        said = self._said()
        if faults := faults_of(said, PostedFile):
            raise refusal(faults)
        declaration = msgspec.convert(said, PostedFile)
        check_attributes([("attributes", declaration.attributes or {})])
        return declaration

    def _said(self) -> dict[str, Any]:
        file = self._form.file
        if file is None:
            raise refusal([FieldError(field=FILE_FIELD, code="missing", message="It is missing.")])
        said: dict[str, Any] = {"content_base64": ""}
        if file.filename is not None:
            said["filename"] = file.filename
        if file.content_type is not None:
            said["content_type"] = file.content_type
        for name, values in self._form.fields.items():
            if name in _TEXTS:
                if len(values) > 1:
                    raise field_fault(name, "It is there twice.")
                if values[0]:
                    said[name] = values[0]
            elif name == "tags":
                said[name] = _tags(values)
            elif name == "attributes":
                said[name] = _json(name, values[-1]) if values[-1] else {}
        return said


def _tags(values: Sequence[str]) -> Any:
    """Returns the tags: one per field, or all of them in one field as a JSON array."""
    if len(values) == 1 and values[0].lstrip().startswith("["):
        return _json("tags", values[0])
    return [value for value in values if value]


def _json(field: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise field_fault(field, "It is not JSON.") from error
