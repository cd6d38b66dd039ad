from pathlib import Path

from kappi_chassis.disk import DiskSpace
from kappi_chassis.storage.local import LocalObjectStore
from kappi_chassis.storage.local_space import LocalSpace
from kappi_embedded.store import SpaceWatch
from structlog.testing import capture_logs

MIB = 1 << 20


async def test_refusing_and_accepting_uploads_is_logged_once_each(tmp_path: Path) -> None:
    free_bytes = [500 * MIB]
    times = iter(range(100))
    space = LocalSpace(
        tmp_path,
        reserve_bytes=100 * MIB,
        measure=lambda _: DiskSpace(free_bytes[0], 1 << 30),
        clock=lambda: float(next(times)),
    )
    store = LocalObjectStore(tmp_path, space=space)
    watch = SpaceWatch(store)
    with capture_logs() as logged:
        for free in (500, 110, 90, 100, 300, 300):
            free_bytes[0] = free * MIB
            await watch.look()
    await store.close()
    assert [(entry["event"], entry["free_bytes"] // MIB) for entry in logged] == [
        ("store.full", 110),
        ("store.has_room_again", 300),
    ]
