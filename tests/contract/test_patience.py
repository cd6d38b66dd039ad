"""A service gives up, and says what to do, before the gateway gives it up."""

from __future__ import annotations

from kappi_gateway.settings import GatewaySettings
from kappi_media.use_cases import checksums, complete, location_free, renditions

MARGIN_S = 2.0


def test_media_answers_before_the_gateway_stops_waiting() -> None:
    default = GatewaySettings.model_fields["read_timeout"].default
    waits_s = default.total_seconds() - MARGIN_S
    assert waits_s > complete._JOIN_PATIENCE_S + checksums.INLINE_TIMEOUT_S
    assert waits_s > location_free.PATIENCE_S
    assert waits_s > renditions.PATIENCE_S
