import asyncio
import io
from pathlib import Path

import pytest
from kappi_chassis.disk import DiskSpace
from kappi_embedded import ballast as module
from kappi_embedded.ballast import BALLAST_BYTES, NEEDED_BYTES, Ballast
from kappi_embedded.console import Console
from kappi_embedded.servers import log_sizes

MIB = 1 << 20


class Disk:
    """A disk of 400 MiB on which only the ballast counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.others_left_bytes = 300 * MIB

    def space(self, _: Path) -> DiskSpace:
        kept = self.path.stat().st_size if self.path.exists() else 0
        return DiskSpace(max(0, self.others_left_bytes - kept), 400 * MIB)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(tmp_path / "ballast")
    monkeypatch.setattr(module, "disk_space", disk.space)
    return disk


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def ballast(disk: Disk, said: io.StringIO) -> Ballast:
    return Ballast(disk.path, console=Console(said))


async def test_with_free_space_the_ballast_is_kept_silently(
    ballast: Ballast, disk: Disk, said: io.StringIO
) -> None:
    ballast.keep()
    assert disk.path.stat().st_size == BALLAST_BYTES
    # The space is really allocated, not sparse.
    assert disk.path.stat().st_blocks * 512 >= BALLAST_BYTES
    await ballast.make_room()
    assert disk.path.exists()
    assert said.getvalue() == ""


async def test_on_a_full_disk_the_ballast_is_removed_and_the_next_step_is_explained(
    ballast: Ballast, disk: Disk, said: io.StringIO
) -> None:
    ballast.keep()
    disk.others_left_bytes = BALLAST_BYTES + MIB
    assert ballast.is_short()
    await ballast.make_room()
    assert not disk.path.exists()
    assert not ballast.is_short()
    for part in ("1 of 400 MiB", str(disk.path.parent), "16 MiB to start", "until 100 MiB are free"):
        assert part in said.getvalue()


async def test_without_a_ballast_the_start_waits_for_space(
    ballast: Ballast, disk: Disk, said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_POLL_S", 0.01)
    disk.others_left_bytes = 0
    waiting = asyncio.create_task(ballast.make_room())
    done, _ = await asyncio.wait([waiting], timeout=0.2)
    assert not done
    disk.others_left_bytes = NEEDED_BYTES
    async with asyncio.timeout(10):
        await waiting
    assert "waits for room" in said.getvalue()


def test_the_ballast_is_created_again_only_with_enough_free_space(ballast: Ballast, disk: Disk) -> None:
    disk.others_left_bytes = 2 * BALLAST_BYTES - 1
    ballast.keep()
    assert not disk.path.exists()
    disk.others_left_bytes += 1
    ballast.keep()
    assert disk.path.exists()


def test_a_ballast_that_cannot_be_filled_leaves_no_file(
    ballast: Ballast, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_room(_: int) -> None:
        raise OSError("no space")

    monkeypatch.setattr(module, "_fill", without_room)
    with pytest.raises(OSError, match="no space"):
        ballast.keep()
    assert list(disk.path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("disk_bytes", "most", "kept"),
    [(400 * MIB, "32MB", "32MB"), (2 << 30, "128MB", "80MB"), (1 << 40, "512MB", "80MB")],
)
def test_the_log_of_postgresql_fits_the_disk(disk_bytes: int, most: str, kept: str) -> None:
    assert log_sizes(disk_bytes) == {"max_wal_size": most, "min_wal_size": kept}
