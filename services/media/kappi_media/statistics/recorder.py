"""The seam between the handlers, which know what they answered, and the counts."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from kappi_contracts.grants import Grant
from starlette.requests import Request

from kappi_media.statistics.counter import AccessCounter, AccessKind
from kappi_media.statistics.traits import (
    ADDRESS_BYTES,
    AGENT_BYTES,
    ANONYMOUS,
    LANGUAGE_BYTES,
    ROLES,
)

ROLE_HEADER = b"x-kappi-role"


class AccessRecorder(Protocol):
    """Notes an access that was granted. Never fails, never waits."""

    def granted(
        self, kind: AccessKind, request: Request, grant: Grant, *, media_id: UUID | None = None
    ) -> None:
        """An access by a grant."""

    def signed(self, kind: AccessKind, request: Request, *, gallery_id: UUID, media_id: UUID) -> None:
        """An access by a link, or a URL, that is its own credential."""


class CountAccesses:
    """Counts in memory what the headers of a request say of its caller."""

    def __init__(self, counter: AccessCounter) -> None:
        self._counter = counter

    def granted(
        self, kind: AccessKind, request: Request, grant: Grant, *, media_id: UUID | None = None
    ) -> None:
        self._count(kind, request, gallery_id=grant.gallery_id, media_id=media_id)

    def signed(self, kind: AccessKind, request: Request, *, gallery_id: UUID, media_id: UUID) -> None:
        self._count(kind, request, gallery_id=gallery_id, media_id=media_id)

    def _count(self, kind: AccessKind, request: Request, *, gallery_id: UUID, media_id: UUID | None) -> None:
        language = agent = address = b""
        told = ANONYMOUS
        # The raw list, once: Starlette's view of it decodes every name for each look-up.
        for name, value in request.scope["headers"]:
            if name == b"accept-language":
                language = language or value[:LANGUAGE_BYTES]
            elif name == b"user-agent":
                agent = value[:AGENT_BYTES]
            elif name == b"x-forwarded-for":
                address = value
            elif name == ROLE_HEADER and (text := value.decode("latin-1")) in ROLES:
                told = text
        self._counter.see((kind, gallery_id.int, media_id, told, language, agent, address[-ADDRESS_BYTES:]))


class CountNothing:
    """Where statistics are off."""

    def granted(
        self, kind: AccessKind, request: Request, grant: Grant, *, media_id: UUID | None = None
    ) -> None:
        """Nothing."""

    def signed(self, kind: AccessKind, request: Request, *, gallery_id: UUID, media_id: UUID) -> None:
        """Nothing."""
