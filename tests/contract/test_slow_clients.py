"""A service ends a slow request, with an explanation, before the gateway times out."""

from __future__ import annotations

from datetime import timedelta

from kappi_chassis.storage.settings import StorageSettings
from kappi_gateway.settings import GatewaySettings
from kappi_janitor.settings import JanitorSettings
from kappi_media.settings import MediaSettings
from kappi_media.use_cases import checksums, complete, gps_free, renditions

MARGIN_S = 2.0


def test_media_answers_before_the_gateway_stops_waiting() -> None:
    default = GatewaySettings.model_fields["read_timeout"].default
    waits_s = default.total_seconds() - MARGIN_S
    assert waits_s > complete._JOIN_TIMEOUT_S + checksums.INLINE_TIMEOUT_S
    assert waits_s > gps_free.TIMEOUT_S
    assert waits_s > renditions.TIMEOUT_S


def test_deleted_objects_are_watched_for_longer_than_their_urls_are_valid() -> None:
    grant = timedelta(minutes=1)  # it stays valid, and an upload may be signed with it
    longest = MediaSettings.model_fields["upload_url_lifetime"].default + grant
    assert StorageSettings().local_store_refuses_deleted_for > longest
    assert min(JanitorSettings.model_fields["resweep_after"].default) > longest
