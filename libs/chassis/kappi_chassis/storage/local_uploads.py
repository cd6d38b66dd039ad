"""One upload at a time of an object, and of a part of one.

More of the same would only take places and disk from others: one of them wins. A client whose line broke
unnoticed must come in again soon, though: an upload that stands still makes room for the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kappi_chassis.storage.local_body import UploadBody
from kappi_chassis.storage.local_responses import Headers, Refused

STANDS_STILL_S = 10.0
_RETRY_AFTER_S = 5


class UploadsUnderWay:
    """Those of one process, by what they make."""

    def __init__(self) -> None:
        self._bodies: dict[tuple[str, ...], UploadBody] = {}

    @contextmanager
    def alone(self, *made: str, body: UploadBody) -> Iterator[None]:
        """made: the key, or the multipart upload and the part. Raises Refused while another body comes."""
        other = self._bodies.get(made)
        if other is not None:
            if other.silent_s < STANDS_STILL_S:
                retry: Headers = [(b"retry-after", str(_RETRY_AFTER_S).encode())]
                raise Refused(409, "OperationAborted", "The same is being uploaded at the moment.", retry)
            other.give_up()
        self._bodies[made] = body
        try:
            yield
        finally:
            if self._bodies.get(made) is body:
                del self._bodies[made]
