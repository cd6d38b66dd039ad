from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path

import pytest
from kappi_chassis.disk import MOST_RESERVED_BYTES, DiskSpace, disk_space
from kappi_chassis.observability import metrics
from kappi_chassis.storage import StorageFull
from kappi_chassis.storage.local_space import LocalSpace

MIB = 1 << 20


@dataclass
class Disk:
    """A file system of 400 MiB, and a clock."""

    free_bytes: int = 300 * MIB
    total_bytes: int = 400 * MIB
    now_s: float = 0.0
    looks: int = 0

    def measure(self, _: Path) -> DiskSpace:
        self.looks += 1
        return DiskSpace(self.free_bytes, self.total_bytes)

    def clock(self) -> float:
        return self.now_s


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def space(disk: Disk, tmp_path: Path) -> LocalSpace:
    return LocalSpace(tmp_path, measure=disk.measure, clock=disk.clock)


@pytest.mark.parametrize(
    ("total_bytes", "reserve_bytes"),
    [(400 * MIB, 100 * MIB), (8 << 30, 2 << 30), (4 << 40, MOST_RESERVED_BYTES)],
)
def test_the_default_fits_small_and_large_disks(total_bytes: int, reserve_bytes: int) -> None:
    assert DiskSpace(0, total_bytes).default_reserve_bytes == reserve_bytes


def test_a_real_disk_is_measured(tmp_path: Path) -> None:
    found = disk_space(tmp_path)
    assert 0 <= found.free_bytes <= found.total_bytes
    space = LocalSpace(tmp_path / "still" / "missing", reserve_bytes=0)
    space.look()
    space.check(0)
    with pytest.raises(StorageFull):
        space.check(found.total_bytes + 1)


def test_uploads_stop_at_the_reserve_and_services_at_half_of_it(space: LocalSpace) -> None:
    space.look()
    space.check(200 * MIB)
    with pytest.raises(StorageFull):
        space.check(200 * MIB + 1)
    with pytest.raises(StorageFull):
        space.reserve(200 * MIB + 1, use="upload")
    space.reserve(250 * MIB, use="service").release()
    with pytest.raises(StorageFull):
        space.reserve(250 * MIB + 1, use="service")


def test_the_remaining_bytes_of_running_uploads_count_as_taken(space: LocalSpace) -> None:
    first = space.reserve(150 * MIB, use="upload")
    first.spend(100 * MIB)
    with pytest.raises(StorageFull):
        space.reserve(51 * MIB, use="upload")
    second = space.reserve(50 * MIB, use="upload")
    with pytest.raises(StorageFull):
        space.check(1)
    first.release()
    space.check(50 * MIB)
    second.release()
    space.check(100 * MIB)


def test_a_released_claim_no_longer_counts(space: LocalSpace) -> None:
    reserve = space.reserve(200 * MIB, use="upload")
    with pytest.raises(StorageFull):
        space.check(1)
    del reserve
    gc.collect()
    space.check(200 * MIB)


def test_a_running_upload_ends_if_other_files_took_the_space(space: LocalSpace, disk: Disk) -> None:
    upload = space.reserve(50 * MIB, use="upload")
    upload.spend(MIB)
    disk.free_bytes = 100 * MIB  # for example because a log grew
    upload.spend(MIB)  # the disk is measured once a second
    disk.now_s = 1.0
    with pytest.raises(StorageFull):
        upload.spend(MIB)
    service = space.reserve(0, use="service")
    service.spend(50 * MIB)
    with pytest.raises(StorageFull):
        service.spend(1)


def test_bytes_written_since_the_last_measurement_are_counted(space: LocalSpace, disk: Disk) -> None:
    upload = space.reserve(0, use="upload")
    upload.spend(200 * MIB)
    assert space.free_bytes == 100 * MIB
    with pytest.raises(StorageFull):
        upload.spend(1)
    disk.free_bytes, disk.now_s = 100 * MIB, 1.0
    space.look()
    assert space.free_bytes == 100 * MIB


def test_the_disk_is_measured_once_a_second(space: LocalSpace, disk: Disk) -> None:
    for _ in range(100):
        space.reserve(MIB, use="upload").release()
    assert disk.looks == 1
    disk.now_s = 1.0
    space.look()
    assert disk.looks == 2


def test_a_configured_reserve_replaces_the_default(disk: Disk, tmp_path: Path) -> None:
    space = LocalSpace(tmp_path, reserve_bytes=MIB, measure=disk.measure, clock=disk.clock)
    space.look()
    space.check(299 * MIB)
    with pytest.raises(StorageFull):
        space.check(299 * MIB + 1)


def test_free_bytes_reserve_and_refusals_are_metrics(space: LocalSpace) -> None:
    refused = metrics.STORE_FULL.labels("upload")._value
    before = refused.get()
    space.look()
    with pytest.raises(StorageFull):
        space.check(300 * MIB)
    assert refused.get() == before + 1
    assert metrics.STORE_FREE_BYTES._value.get() == 300 * MIB
    assert metrics.STORE_RESERVE_BYTES._value.get() == 100 * MIB
