"""Allows one upload at a time of an object, and of a part of one.

Further uploads of the same would only use slots and disk: one of them wins. A client whose connection broke
unnoticed must be able to continue soon, so an upload that stands still is replaced by the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kappi_chassis.storage.local_body import UploadBody
from kappi_chassis.storage.local_responses import Headers, Refused

STANDS_STILL_S = 10.0
_RETRY_AFTER_S = 5


class UploadsUnderWay:
    """The uploads of one process, by what they create."""

    def __init__(self) -> None:
        self._bodies: dict[tuple[str, ...], UploadBody] = {}

    @contextmanager
    def alone(self, *made: str, body: UploadBody) -> Iterator[None]:
        """Marks an upload as running while the body runs. made: the key, or the multipart upload and the
        part.

        Raises Refused while another body of the same arrives.
        """
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
