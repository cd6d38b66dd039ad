"""The errors that form and JSON bodies share."""

from __future__ import annotations

from kappi_chassis.problems import BadRequest, FieldError


class MalformedBase64(BadRequest):
    code, title = "malformed_base64", "The content is not base64"

    def __init__(self, detail: str) -> None:
        error = FieldError(field="content_base64", code=self.code, message=detail)
        super().__init__(f"Look at: content_base64. {detail}", errors=(error,))
