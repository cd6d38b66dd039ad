"""Runs the local object store as a process of its own, behind the gateway's `/store/`."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from kappi_chassis.clock import utc_now
from kappi_chassis.http.internal import only_internal
from kappi_chassis.observability import metrics
from kappi_chassis.observability.configure import configure_observability
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.runtime import Service
from kappi_chassis.settings import PlatformSettings, ServiceSettings
from kappi_chassis.storage.contract import StorageUnavailable
from kappi_chassis.storage.local import LocalObjectStore
from kappi_chassis.storage.local_server import local_store_app
from kappi_chassis.storage.settings import StorageNotConfigured, StorageSettings, build_local_store
from pydantic_settings import SettingsConfigDict

_LOOK_EVERY_S = 5.0
_LITTLE_BYTES = 16 << 20
"""With less free space than this, the files of most cameras are refused."""

_log = get_logger(__name__)


class SpaceWatch:
    """Keeps the metrics of free space current, and logs when uploads are refused and when they are accepted
    again.
    """

    def __init__(self, store: LocalObjectStore) -> None:
        self._store = store
        self._full = False

    async def run(self) -> None:
        """Checks the space until cancelled."""
        while True:
            with suppress(StorageUnavailable):  # readiness reports it
                await self.look()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def look(self) -> None:
        space = await self._store.look_at_space()
        full = space.free_bytes - space.reserve_bytes < _LITTLE_BYTES
        if full != self._full:
            self._full = full
            _log.warning(
                "store.full" if full else "store.has_room_again",
                free_bytes=space.free_bytes,
                reserve_bytes=space.reserve_bytes,
            )


class StoreSettings(ServiceSettings):
    """The settings `KAPPI_STORE_*`."""

    model_config = SettingsConfigDict(env_prefix="KAPPI_STORE_", frozen=True, extra="ignore")


def build(platform: PlatformSettings, settings: StoreSettings, storage: StorageSettings) -> Service:
    """Returns the wired process. Raises StorageNotConfigured, SecretMissing."""
    if storage.local_store_dir is None or not storage.local_store_url or storage.local_store_secret is None:
        raise StorageNotConfigured("The store process needs KAPPI_LOCAL_STORE_DIR, _URL and _SECRET")
    store = build_local_store(storage)
    service = Service("store", settings, commit=platform.commit)
    service.exports(metrics.LOCAL_STORE)
    service.exports(metrics.FOLDER)
    service.health.add("folder", store.ready)
    service.runs("space", SpaceWatch(store).run)
    app = local_store_app(
        store,
        signer_secret=storage.local_store_secret.get_secret_value().encode(),
        clock=utc_now,
    )
    service.serves(only_internal(app, platform, settings))
    return service


def main() -> None:
    platform = PlatformSettings()
    configure_observability("store", platform)
    settings = StoreSettings()  # type: ignore[call-arg]  # read from the environment
    build(platform, settings, StorageSettings()).main()


if __name__ == "__main__":
    main()
