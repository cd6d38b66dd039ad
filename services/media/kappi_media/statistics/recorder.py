"""Connects the handlers, which know their answers, with the counts."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

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
    """Records a granted access. It never fails and never waits."""

    def __call__(
        self, kind: AccessKind, request: Request, *, gallery_id: UUID, media_id: UUID | None = None
    ) -> None:
        """Record an access. request: the headers of its caller."""


class CountAccesses:
    """Counts accesses in memory, by what the headers of a request say of its caller."""

    def __init__(self, counter: AccessCounter) -> None:
        self._counter = counter

    def __call__(
        self, kind: AccessKind, request: Request, *, gallery_id: UUID, media_id: UUID | None = None
    ) -> None:
        language = agent = address = b""
        told = ANONYMOUS
        # One pass over the raw list: Starlette's view of it decodes every name for each look-up.
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
    """Records nothing, because statistics are off."""

    def __call__(
        self, kind: AccessKind, request: Request, *, gallery_id: UUID, media_id: UUID | None = None
    ) -> None:
        """Do nothing."""
