"""Client of the galleries service for grants, which it gives or refuses (ADR-0003)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec

from kappi_gateway import metrics
from kappi_gateway.auth.grant_cache import GallerySummary, KeptGrant
from kappi_gateway.errors import GrantRefused, UpstreamUnavailable
from kappi_gateway.routes import Service
from kappi_gateway.upstream import Answer, Upstreams, decoded, traced, whole

MARGIN_S = 10.0
"""A grant is not reused in its last seconds, because it must still be valid when the service checks it."""

Kind = Literal["view", "key", "contributor", "owner"]
_REFUSAL_HEADERS = frozenset({b"content-type", b"retry-after", b"www-authenticate"})


class _Answer(msgspec.Struct):
    grant: str
    expires_in: float
    gallery_id: UUID
    gallery_expires_at: datetime | None = None
    summary: GallerySummary | None = None
    hides_items: bool = False


_decoder = msgspec.json.Decoder(_Answer)
_problem = msgspec.json.Decoder(dict[str, Any])


class GrantClient:
    """Asks for grants. lifetime: longest time for which a grant is reused."""

    def __init__(self, upstreams: Upstreams, *, lifetime: timedelta) -> None:
        self._upstreams = upstreams
        self._lifetime_s = lifetime.total_seconds()

    async def ask(self, kind: Kind, question: dict[str, str]) -> KeptGrant:
        """Returns a grant. Raises GrantRefused, UpstreamUnavailable, UpstreamTimeout."""
        response = await self._upstreams.send(
            Service.GALLERIES,
            "POST",
            f"/internal/grants/{kind}",
            headers=[("content-type", "application/json"), *traced()],
            body=msgspec.json.encode(question),
        )
        body = await whole(response)
        if response.status == 200:
            metrics.GRANTS.labels(kind, "asked").inc()
            return self._read(body)
        if not 400 <= response.status < 500:
            raise UpstreamUnavailable("Try again in a moment.", retry_after_s=1)
        metrics.GRANTS.labels(kind, "refused").inc()
        raise GrantRefused(response.status, decoded(body, _problem), _refusal_headers(response))

    def _read(self, body: bytes) -> KeptGrant:
        answer = decoded(body, _decoder)
        reusable_s = min(self._lifetime_s, answer.expires_in - MARGIN_S)
        return KeptGrant(
            token=answer.grant,
            gallery_id=answer.gallery_id,
            reusable_s=reusable_s,
            gallery_expires_at=answer.gallery_expires_at,
            summary=answer.summary,
            hides_items=answer.hides_items,
        )


def _refusal_headers(response: Answer) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(pair for pair in response.headers if pair[0] in _REFUSAL_HEADERS)
