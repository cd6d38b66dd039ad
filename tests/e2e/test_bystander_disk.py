"""A full disk, filled by one client without an account or by another program; other clients continue.

The tests repair nothing by hand: the stack recovers by itself once there is space.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from kappi_chassis.disk import disk_space
from kappi_contracts.keys import gallery_prefix
from kappi_contracts.services import NAMES
from kappi_testkit.eventually import eventually

from tests.e2e import accounts, evidence, posts
from tests.e2e.accounts import Person
from tests.e2e.bystander import ATTACKER, PICTURE, Served, assert_unharmed
from tests.e2e.disks import MIB, SmallDisk, fill_up, mounted, small_disk
from tests.e2e.phone import Answer, File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest, running_stack

DISK_BYTES = 400 * MIB
FILE = File("a.jpg", "image/jpeg", bytes(4 * MIB))
BATCH = 10
_PUTS_AT_ONCE = 8
_ENOUGH_REFUSALS = 20
_RECOVERS_S = 60.0
_PAGE_BYTES = 4096
_PAUSE_S = 0.05


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    with small_disk(tmp_path_factory.mktemp("disk"), size_bytes=DISK_BYTES) as disk:
        yield disk


@pytest.fixture(scope="module")
def small_stack(disk: SmallDisk) -> Iterator[StackUnderTest]:
    """A stack with all its data and its output on the small disk."""
    with running_stack("embedded", disk.folder, settings=disk.settings) as stack:
        yield stack


class Visitor:
    """A client whose account, gallery and post existed before."""

    def __init__(
        self, stack: StackUnderTest, phone: Phone, person: Person, gallery: Gallery, post_id: str
    ) -> None:
        self.stack = stack
        self.phone = phone
        self.person = person
        self.gallery = gallery
        self.post_id = post_id

    async def look(self) -> None:
        answer = await self.phone.ask("GET", f"/v1/g/{self.gallery.code}")
        assert len(answer.ok()["items"]) == 1

    async def download(self) -> None:
        answer = await self.phone.ask("GET", f"/v1/g/{self.gallery.code}")
        answer = await self.phone.ask("GET", answer.ok()["items"][0]["original"]["url"])
        assert (answer.status, answer.body) == (200, PICTURE.body)

    async def log_in(self) -> None:
        person = await accounts.log_in(self.stack, self.phone, self.person.email, self.person.password)
        assert person.id == self.person.id

    async def comment(self) -> None:
        (await posts.comment(self.phone, self.person, self.post_id, "How nice")).ok(201)

    async def upload_file(self) -> None:
        (media_id,) = await self.phone.upload(self.gallery, PICTURE)
        await self.phone.ask("DELETE", f"/v1/media/{media_id}", headers=self.gallery.key)

    async def sign(self) -> Answer:
        return await self.phone.ask(
            "POST",
            f"/v1/galleries/{self.gallery.id}/uploads",
            json={"files": [PICTURE.declaration()]},
            headers=self.gallery.key,
        )

    async def send_small(self) -> Answer:
        body, content_type = posts.form(PICTURE.body)
        return await self.phone.ask(
            "POST",
            f"/v1/galleries/{self.gallery.id}/media",
            body=body,
            headers={**self.gallery.key, "Content-Type": content_type},
        )

    async def use_features(self, *, until: Callable[[], bool]) -> Served:
        """Views, downloads, logs in and comments in turn, until the condition is true."""
        served = Served()
        calls: tuple[Callable[[], Awaitable[None]], ...] = (
            self.look,
            self.download,
            self.log_in,
            self.comment,
        )
        while not until():
            for call in calls:
                started = time.perf_counter()
                try:
                    await call()
                except (AssertionError, aiohttp.ClientError, OSError, TimeoutError) as failure:
                    served.failures.append(f"{call.__name__}: {failure!r}"[:300])
                else:
                    served.elapsed_ms.append((time.perf_counter() - started) * 1e3)
                await asyncio.sleep(_PAUSE_S)
        return served

    async def for_a_while(self, seconds: float) -> Served:
        ends = time.monotonic() + seconds
        return await self.use_features(until=lambda: time.monotonic() > ends)

    async def assert_all_works(self) -> None:
        """Uses everything that needs no space."""
        for call in (self.look, self.download, self.log_in, self.comment):
            await call()


@asynccontextmanager
async def visitor(stack: StackUnderTest) -> AsyncIterator[Visitor]:
    async with Phone(stack.base_url, secrets=stack.secrets) as phone:
        gallery = await phone.create_gallery()
        await phone.upload(gallery, PICTURE)
        await phone.until_ready(gallery, 1)
        person = await accounts.sign_up(stack, phone, "visitor")
        post = (await posts.create(phone, person, PICTURE.body)).ok(201)
        yield Visitor(stack, phone, person, gallery, post["id"])


class Filler:
    """A client without an account that uploads continuously and completes nothing."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self.gallery: Gallery | None = None
        self.stored = 0
        self.refused_puts = 0
        self.refused_signings = 0

    async def fill(self) -> None:
        """Uploads until signing and the store have refused for lack of space many times."""
        self.gallery = await self._phone.create_gallery()
        while min(self.refused_puts, self.refused_signings) < _ENOUGH_REFUSALS:
            uploads: list[Any] = []
            # All batches are signed before any byte is sent: each batch alone would fit.
            for _ in range(3 * DISK_BYTES // (BATCH * len(FILE.body))):
                uploads += await self._sign()
            gate = asyncio.Semaphore(_PUTS_AT_ONCE)
            async with asyncio.TaskGroup() as group:
                for upload in uploads:
                    group.create_task(self._put(upload, gate))

    async def _sign(self) -> list[Any]:
        assert self.gallery is not None
        answer = await self._phone.ask(
            "POST",
            f"/v1/galleries/{self.gallery.id}/uploads",
            json={"files": [FILE.declaration()] * BATCH},
            headers=self.gallery.key,
        )
        if answer.status != 201:
            answer.problem(507, "storage_full")
            self.refused_signings += 1
            return []
        uploads: list[Any] = answer.ok(201)["uploads"]
        return uploads

    async def _put(self, upload: Any, gate: asyncio.Semaphore) -> None:
        async with gate:
            answer = await self._phone.put(upload, FILE.body)
        if answer.status == 200:
            self.stored += 1
        else:
            assert answer.status == 507, (answer.status, answer.body[:200])
            assert b"<Code>InsufficientStorage</Code>" in answer.body
            self.refused_puts += 1


async def test_a_client_without_account_fills_the_disk_and_others_continue(
    small_stack: StackUnderTest, disk: SmallDisk
) -> None:
    async with (
        visitor(small_stack) as bystander,
        Phone(small_stack.base_url, secrets=small_stack.secrets, address=ATTACKER) as phone,
    ):
        before = await bystander.for_a_while(3)
        filler = Filler(phone)
        attack = asyncio.create_task(filler.fill(), name="attack")
        async with asyncio.timeout(120):
            during = await bystander.use_features(until=attack.done)
        await attack
        assert_unharmed(before, during)
        assert filler.stored * len(FILE.body) > 40 * MIB

        # No client may upload any more; the space that other calls need remains.
        reserve_bytes = await _metric(small_stack, "kappi_store_reserve_bytes")
        assert disk_space(disk.folder).free_bytes > reserve_bytes / 2
        assert await _metric(small_stack, "kappi_store_free_bytes") < reserve_bytes + BATCH * len(FILE.body)
        assert await _metric(small_stack, 'kappi_store_full_refusals_total{use="upload"}') >= _ENOUGH_REFUSALS
        await _fill_the_rest(bystander, disk)
        (await bystander.sign()).problem(507, "storage_full")
        (await bystander.send_small()).problem(507, "storage_full")
        full = await posts.create(bystander.phone, bystander.person, PICTURE.body)
        full.problem(507, "storage_full")
        await bystander.assert_all_works()

        small_stack.running.restart()
        assert_unharmed(before, await bystander.for_a_while(3))
        (await bystander.sign()).problem(507, "storage_full")

        await _delete_galleries(filler, phone, disk)

        await eventually(lambda: _assert_takes(bystander), _RECOVERS_S)
        await bystander.upload_file()
        # The next tests need the space, and kill the server that the purge needs.
        await eventually(lambda: _assert_purged(small_stack, filler), _RECOVERS_S)


async def test_the_stack_recovers_after_other_programs_filled_the_disk(
    small_stack: StackUnderTest, disk: SmallDisk
) -> None:
    running = small_stack.running
    async with visitor(small_stack) as bystander:
        if disk.mounted:
            await _kept(running.data_dir / "ballast")
            first = fill_up(disk.folder, "first")
            await eventually(lambda: _assert_full(bystander), _RECOVERS_S)
            await bystander.assert_all_works()
            running.kill("media")  # its run note cannot be written at this time
            await _until_well(bystander)
            # PostgreSQL stops, and starts again with the space of the ballast.
            os.kill(_postgres(small_stack), signal.SIGKILL)
            await _until_well(bystander)
            assert not (running.data_dir / "ballast").exists()
            assert "The disk is full: 0 of 400 MiB are free" in _shown(small_stack)
            # A second time, without a ballast.
            second = fill_up(disk.folder, "second")
            os.kill(_postgres(small_stack), signal.SIGKILL)
            await _until_refused(bystander)
            second.unlink()
            await _until_well(bystander)
            first.unlink()
        else:
            # A large disk cannot be filled: for the supervisor, a server that does not start is the same.
            version = running.data_dir / "postgres" / "cluster" / "PG_VERSION"
            right = version.read_text()
            version.write_text("17")
            os.kill(_postgres(small_stack), signal.SIGKILL)
            await _until_refused(bystander)
            version.write_text(right)
            await _until_well(bystander)
        await eventually(lambda: _assert_up(small_stack), _RECOVERS_S)
        await eventually(bystander.upload_file, _RECOVERS_S)


async def test_a_stack_killed_on_a_full_disk_starts_and_serves(
    small_stack: StackUnderTest, disk: SmallDisk
) -> None:
    running = small_stack.running
    async with visitor(small_stack) as bystander:
        await _kept(running.data_dir / "ballast")
        filled = fill_up(disk.folder) if disk.mounted else None
        running.crash()
        running.start()
        await bystander.assert_all_works()
        if filled is not None:
            await eventually(lambda: _assert_full(bystander), _RECOVERS_S)
            filled.unlink()
        await eventually(lambda: _assert_takes(bystander), _RECOVERS_S)
        await _kept(running.data_dir / "ballast")


async def test_a_full_log_partition_loses_only_log_lines(tmp_path: Path) -> None:
    logs = tmp_path / "data" / "logs"
    with mounted(logs, size_bytes=8 * MIB) as is_mounted:
        if not is_mounted:
            for name in (*NAMES, "store", "replayer"):
                (logs / f"{name}.log").symlink_to("/dev/full")
        with running_stack("embedded", tmp_path, settings={}) as stack:
            async with visitor(stack) as bystander:
                filled = _fill_logs(logs) if is_mounted else None
                before = await bystander.for_a_while(2)
                for service in ("gateway", "media", "identity"):
                    stack.running.kill(service)
                await stack.running.wait_ready()
                after = await bystander.for_a_while(2)
                assert_unharmed(before, after)
                await bystander.upload_file()
                assert "its log cannot be written" in _shown(stack)
                if filled is not None:
                    filled.unlink()
                else:
                    for path in logs.glob("*.log"):
                        if path.is_symlink():
                            path.unlink()

                async def lines_are_counted() -> None:
                    await bystander.phone.ask("GET", "/v1/galleries/none")
                    stack.running.kill("galleries")
                    texts = [path.read_text(errors="replace") for path in logs.glob("*.log*")]
                    assert any('"event":"log.lines_dropped"' in text for text in texts)

                await eventually(lines_are_counted, _RECOVERS_S)
                await stack.running.wait_ready()
                await bystander.assert_all_works()


async def _metric(stack: StackUnderTest, name: str) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{stack.ops_url('store')}/metrics") as answer:
        found = re.search(rf"^{re.escape(name)} (\S+)$", await answer.text(), re.MULTILINE)
    assert found is not None, name
    return float(found[1])


async def _fill_the_rest(bystander: Visitor, disk: SmallDisk) -> None:
    """Fills the space that was too small for a file of the attack."""
    path = disk.folder / "rest"

    async def full() -> None:
        if (await bystander.sign()).status == 507:
            return
        with path.open("ab") as file:
            file.write(bytes(len(FILE.body)))
        raise AssertionError("there is still room")

    await eventually(full, 30)


async def _delete_galleries(filler: Filler, phone: Phone, disk: SmallDisk) -> None:
    """Deletes the galleries, and with them the uncompleted uploads."""
    assert filler.gallery is not None
    gone = await phone.ask("DELETE", f"/v1/galleries/{filler.gallery.id}", headers=filler.gallery.key)
    assert gone.status == 204
    (disk.folder / "rest").unlink(missing_ok=True)


async def _assert_purged(stack: StackUnderTest, filler: Filler) -> None:
    assert filler.gallery is not None
    assert await evidence.objects_under(stack, gallery_prefix(UUID(filler.gallery.id))) == []


def _fill_logs(logs: Path) -> Path:
    """Fills the disk completely: without that, a file's last page has space for some more lines."""
    for path in logs.glob("*.log"):
        with path.open("ab") as file:
            file.write(b"\n" * (-file.tell() % _PAGE_BYTES))
    return fill_up(logs)


async def _kept(ballast: Path) -> None:
    def made() -> None:
        assert ballast.exists()

    await eventually(made, _RECOVERS_S)


async def _until_well(bystander: Visitor) -> None:
    async def well() -> None:
        try:
            await bystander.assert_all_works()
        except (aiohttp.ClientError, OSError, TimeoutError) as failure:
            raise AssertionError(failure) from failure

    await eventually(well, _RECOVERS_S)


async def _until_refused(bystander: Visitor) -> None:
    """Asserts that answers are 503, and no other error, while there is no database."""

    async def refused() -> None:
        answer = await bystander.phone.ask("GET", f"/v1/g/{bystander.gallery.code}?limit=7")
        assert answer.status == 503

    await eventually(refused, _RECOVERS_S)
    for _ in range(10):
        await refused()
        await asyncio.sleep(_PAUSE_S)


async def _assert_full(bystander: Visitor) -> None:
    (await bystander.sign()).problem(507, "storage_full")


async def _assert_takes(bystander: Visitor) -> None:
    (await bystander.sign()).ok(201)


def _assert_up(stack: StackUnderTest) -> None:
    assert stack.running.running
    assert _postgres(stack)


def _postgres(stack: StackUnderTest) -> int:
    """Returns the pid from the server's own file: the stack's note may be old when the disk is full."""
    note = stack.running.data_dir / "postgres" / "cluster" / "postmaster.pid"
    return int(note.read_text().split("\n", 1)[0])


def _shown(stack: StackUnderTest) -> str:
    return stack.running.output.read_text(errors="replace")
