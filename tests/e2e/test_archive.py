"""A whole gallery as one ZIP, with usual programs: curl, unzip."""

from __future__ import annotations

import asyncio
import hashlib
import io
import re
import sys
import zipfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import MovieShape, encode, movie, quadrants
from kappi_testkit.programs import require_program

from tests.e2e.accounts import create_gallery, make_admin, move_to_tier, sign_up, until_media_ready
from tests.e2e.evidence import ask_database
from tests.e2e.phone import File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

MIB = 1 << 20
CURL_PARTIAL_FILE = 18
JPEG = encode(quadrants(64, 48), "JPEG")


def film(
    number: int, size: int, *, clip: bytes = movie(MovieShape(64, 48, seconds=0.5, faststart=True))
) -> bytes:
    """Makes a film of exactly that many bytes: a short clip, and a large box that players skip."""
    rest = size - len(clip) - 8
    filling = number.to_bytes(8) + hashlib.shake_128(number.to_bytes(8)).digest(MIB) * (rest // MIB + 1)
    return clip + (rest + 8).to_bytes(4) + b"free" + filling[:rest]


async def run(*command: str) -> str:
    """Returns the output of a program, which must succeed."""
    process = await asyncio.create_subprocess_exec(
        require_program(command[0]),
        *command[1:],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, (command[0], process.returncode, said[-2000:])
    return said.decode(errors="replace")


async def fetch_until(url: str, target: Path, size: int, *rate: str) -> None:
    """Runs curl, and kills it once it has about that many bytes."""
    process = await asyncio.create_subprocess_exec("curl", "-sS", *rate, "-o", str(target), url)
    try:

        def there() -> None:
            assert target.exists()
            assert target.stat().st_size >= size

        await eventually(there, deadline_s=120)
        assert process.returncode is None, "the download ended before it could be interrupted"
    finally:
        process.kill()
        await process.wait()


def size_of(path: Path) -> int:
    return path.stat().st_size


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(slots=True)
class Memory:
    """Proportional set sizes, in MiB, of the processes that an archive passes through."""

    before: dict[str, float]
    peak: dict[str, float] = field(default_factory=dict)

    @property
    def extra(self) -> dict[str, float]:
        return {name: round(self.peak[name] - self.before[name], 1) for name in self.before}


def pss_mib(stack: StackUnderTest) -> dict[str, float]:
    found = {}
    for service in ("gateway", "media"):
        rollup = Path(f"/proc/{stack.running.note.services[service].pid}/smaps_rollup").read_text()
        kib = next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:"))
        found[service] = int(kib) / 1024
    return found


@asynccontextmanager
async def watching_memory(stack: StackUnderTest) -> AsyncIterator[Memory]:
    memory = Memory(pss_mib(stack))
    memory.peak = dict(memory.before)

    async def watch() -> None:
        while True:
            for name, mib in (await asyncio.to_thread(pss_mib, stack)).items():
                memory.peak[name] = max(memory.peak[name], mib)
            await asyncio.sleep(0.1)

    watcher = asyncio.create_task(watch())
    try:
        yield memory
    finally:
        watcher.cancel()


def archive_url(stack: StackUnderTest, gallery: Gallery) -> str:
    return f"{stack.base_url}/v1/g/{gallery.code}/archive"


async def test_a_gallery_is_downloaded_as_one_file(
    stack: StackUnderTest, phone: Phone, tmp_path: Path
) -> None:
    require_program("unzip")
    gallery = await phone.create_gallery(title="Café “été”")
    bodies = [JPEG, encode(quadrants(80, 60), "PNG"), encode(quadrants(90, 60), "JPEG"), film(1, 300_000)]
    names = ["image.jpg", "日本 🗻.png", "IMAGE.jpg", "film.mp4"]
    types = ["image/jpeg", "image/png", "image/jpeg", "video/mp4"]
    await phone.upload(gallery, *map(File, names, types, bodies))
    await phone.until_ready(gallery, 4)

    head = await phone.ask("HEAD", f"/v1/g/{gallery.code}/archive")
    answer = await phone.ask("GET", f"/v1/g/{gallery.code.upper()}/archive")

    assert (head.status, answer.status) == (200, 200)
    assert head.body == b""
    assert head.headers["Content-Length"] == str(len(answer.body)) == answer.headers["Content-Length"]
    assert head.headers["ETag"] == answer.headers["ETag"]
    assert (
        "filename*=UTF-8''Caf%C3%A9%20%E2%80%9C%C3%A9t%C3%A9%E2%80%9D.zip"
        in answer.headers["Content-Disposition"]
    )
    packed = tmp_path / "all.zip"
    packed.write_bytes(answer.body)
    assert "No errors detected" in await run("unzip", "-t", str(packed))
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.namelist() == ["image.jpg", "日本 🗻.png", "IMAGE (2).jpg", "film.mp4"]
        assert [archive.read(info) for info in archive.infolist()] == bodies
    for place in (1, len(answer.body) // 2, len(answer.body) - 30):
        rest = await phone.ask(
            "GET",
            f"/v1/g/{gallery.code}/archive",
            headers={"Range": f"bytes={place}-", "If-Range": answer.headers["ETag"]},
        )
        assert (rest.status, answer.body[:place] + rest.body == answer.body) == (206, True)


async def test_archives_are_refused_without_access(stack: StackUnderTest, phone: Phone) -> None:
    owner = await sign_up(stack, phone, "ann")
    password = "correct horse battery"
    stack.secrets.add(password)
    gallery = await create_gallery(phone, owner, visibility="shared", password=password)
    (media_id,) = await phone.upload(gallery, File("a.jpg", "image/jpeg", JPEG))
    await until_media_ready(phone, owner, media_id)
    path = f"/v1/g/{gallery.code}/archive"

    (await phone.ask("GET", path)).problem(401, "gallery_password_required")
    wrong, right = {"X-Gallery-Password": "staple"}, {"X-Gallery-Password": password}
    (await phone.ask("GET", path, headers=wrong)).problem(401, "gallery_password_wrong")
    admin = await make_admin(stack, phone)
    await move_to_tier(phone, admin, owner, "Basic")

    async def is_refused() -> None:
        (await phone.ask("GET", path, headers=right)).problem(403, "original_not_in_tier")

    await eventually(is_refused, 15)
    await move_to_tier(phone, admin, owner, "Premium")

    async def is_served() -> None:
        assert (await phone.ask("GET", path, headers=right)).status == 200

    await eventually(is_served, 30)
    (await phone.ask("POST", path, headers=right)).problem(405, "method_not_allowed")
    (await phone.ask("GET", "/v1/g/zzzzz/archive")).problem(404, "gallery_not_found")
    changed = await phone.ask(
        "PATCH", f"/v1/galleries/{gallery.id}", json={"visibility": "private"}, headers=owner.key
    )
    assert changed.status == 200
    (await phone.ask("GET", path, headers=right)).problem(404, "gallery_not_found")


async def test_an_empty_gallery_has_no_archive(phone: Phone) -> None:
    gallery = await phone.create_gallery()
    (await phone.ask("GET", f"/v1/g/{gallery.code}/archive")).problem(409, "archive_empty")


async def test_ranges_and_conditions(stack: StackUnderTest, phone: Phone) -> None:
    gallery = await phone.create_gallery()
    await phone.upload(gallery, File("a.jpg", "image/jpeg", JPEG))
    await phone.until_ready(gallery, 1)
    path = f"/v1/g/{gallery.code}/archive"
    whole = await phone.ask("GET", path)
    etag, size = whole.headers["ETag"], len(whole.body)

    same = await phone.ask("GET", path, headers={"If-None-Match": etag})
    assert (same.status, same.body) == (304, b"")
    beyond = await phone.ask("GET", path, headers={"Range": f"bytes={size}-"})
    beyond.problem(416, "range_not_satisfiable")
    assert beyond.headers["Content-Range"] == f"bytes */{size}"
    (await phone.ask("GET", path, headers={"If-Match": '"other"'})).problem(412, "archive_changed")
    await phone.upload(gallery, File("b.jpg", "image/jpeg", JPEG))
    await phone.until_ready(gallery, 2)
    anew = await phone.ask("GET", path, headers={"Range": "bytes=9-", "If-Range": etag})
    assert anew.status == 200
    assert zipfile.ZipFile(io.BytesIO(anew.body)).namelist() == ["a.jpg", "b.jpg"]


async def upload_films(phone: Phone, gallery: Gallery, numbers: Sequence[int], size: int) -> None:
    """Uploads several at a time, as an app does; each film is created just before its upload."""
    waiting = iter(numbers)

    async def one_after_the_other() -> None:
        for number in waiting:
            body = await asyncio.to_thread(film, number, size)
            await phone.upload(gallery, File(f"{number:03}.mp4", "video/mp4", body))

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(one_after_the_other())


async def until_checksums_are_kept(stack: StackUnderTest, gallery: Gallery, count: int) -> None:
    async def kept() -> None:
        counted = await ask_database(
            stack,
            "media",
            "SELECT count(crc32) FROM items WHERE gallery_id = $1::text::uuid",
            gallery.id,
        )
        assert counted >= count

    await eventually(kept, deadline_s=30)


async def cut_and_resumed(
    stack: StackUnderTest, gallery: Gallery, target: Path, *, cut_at: int, rate: Sequence[str] = ()
) -> None:
    """Downloads in two steps: the first curl is killed, and `curl -C -` continues."""
    url = archive_url(stack, gallery)
    await fetch_until(url, target, cut_at, *rate)
    first = size_of(target)
    await run("curl", "-sS", "--fail", "-C", "-", "-o", str(target), url)
    assert first < size_of(target)


async def test_curl_continues_an_interrupted_archive(
    stack: StackUnderTest, phone: Phone, tmp_path: Path
) -> None:
    for program in ("curl", "unzip"):
        require_program(program)
    gallery = await phone.create_gallery()
    await upload_films(phone, gallery, range(10), 2 * MIB)
    await phone.until_ready(gallery, 10)
    resumed, once = tmp_path / "resumed.zip", tmp_path / "once.zip"

    await cut_and_resumed(stack, gallery, resumed, cut_at=5 * MIB, rate=("--limit-rate", "8M"))

    assert "No errors detected" in await run("unzip", "-tq", str(resumed))
    await run("curl", "-sS", "--fail", "-o", str(once), archive_url(stack, gallery))
    assert sha256(resumed) == sha256(once)
    await until_checksums_are_kept(stack, gallery, 10)


async def test_a_download_continues_after_a_kill_of_the_service(
    own_stack: StackUnderTest, tmp_path: Path
) -> None:
    """The service is killed in the middle; the rest from the next process fits the first part."""
    require_program("curl")
    async with Phone(own_stack.base_url, secrets=own_stack.secrets) as phone:
        gallery = await phone.create_gallery()
        await upload_films(phone, gallery, range(6), 10 * MIB)
        await phone.until_ready(gallery, 6)
    url, target = archive_url(own_stack, gallery), tmp_path / "all.zip"
    fetching = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--fail", "--limit-rate", "20M", "-o", str(target), url
    )

    def begun() -> None:
        assert target.exists()
        assert size_of(target) > 15 * MIB

    await eventually(begun, deadline_s=60)
    own_stack.running.kill("media")
    assert await fetching.wait() == CURL_PARTIAL_FILE
    assert size_of(target) < 60 * MIB
    await own_stack.running.wait_ready()
    await run("curl", "-sS", "--fail", "--retry", "5", "-C", "-", "-o", str(target), url)

    assert await asyncio.to_thread(sha256, target) == await digest_of(url)
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None


async def test_an_archive_contains_films_that_were_uploaded_in_parts(
    stack: StackUnderTest, tmp_path: Path
) -> None:
    """The store makes their ETags in another way, and they are larger than the buffers in memory."""
    body = film(7, 21 * MIB + 5)
    source, target = tmp_path / "large.mp4", tmp_path / "all.zip"
    source.write_bytes(body)
    shared = await asyncio.to_thread(stack.kappi, "share", str(source))
    assert shared.returncode == 0, shared.stderr
    said = dict(line.split(maxsplit=1) for line in shared.stdout.splitlines() if line.startswith("Code"))
    stack.secrets.update(re.findall(r"kappi_[a-z2-7]{26}", shared.stdout))
    code = said["Code"].strip()

    await run("curl", "-sS", "--fail", "-o", str(target), f"{stack.base_url}/v1/g/{code}/archive")

    with zipfile.ZipFile(target) as archive:
        assert archive.read("large.mp4") == body


async def speed_of(url: str) -> int:
    """Returns megabytes per second, without writing to a disk."""
    said = await run("curl", "-sS", "--fail", "-o", "/dev/null", "-w", "%{speed_download}", url)
    return round(float(said) / 1e6)


async def digest_of(url: str) -> str:
    """Returns the SHA-256 of an uninterrupted download."""
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--fail", url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    digest = hashlib.sha256()
    while piece := await process.stdout.read(4 * MIB):
        digest.update(piece)
    assert await process.wait() == 0
    return digest.hexdigest()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_an_archive_of_three_gibibytes_needs_little_memory(
    stack: StackUnderTest, phone: Phone, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """200 films of 15 to 16 MiB; at the first request no checksum is known."""
    for program in ("curl", "unzip"):
        require_program(program)
    files, size = 200, 3 * 1024 * MIB // 200 + 1
    gallery = await phone.create_gallery(title="Three gibibytes")
    url, resumed = archive_url(stack, gallery), tmp_path / "resumed.zip"
    await upload_films(phone, gallery, range(files), size)
    await phone.until_ready(gallery, files, deadline_s=300)

    async with watching_memory(stack) as memory:
        await cut_and_resumed(stack, gallery, resumed, cut_at=1536 * MIB)
        await until_checksums_are_kept(stack, gallery, files)
        counted = await speed_of(url)
        await ask_database(
            stack, "media", "UPDATE items SET crc32 = NULL WHERE gallery_id = $1::text::uuid", gallery.id
        )
        uncounted = await speed_of(url)

    figures = {
        "first_mb_per_s": uncounted,
        "later_mb_per_s": counted,
        "before_mib": {name: round(mib, 1) for name, mib in memory.before.items()},
        "extra_mib": memory.extra,
    }
    record_property("archive", figures)
    sys.stdout.write(f"{figures}\n")
    assert size_of(resumed) > 3 * 1024 * MIB
    assert "No errors detected" in await run("unzip", "-tq", str(resumed))
    with zipfile.ZipFile(resumed) as archive:
        assert sorted(archive.namelist()) == [f"{number:03}.mp4" for number in range(files)]
    assert await asyncio.to_thread(sha256, resumed) == await digest_of(url)
    resumed.unlink()
    assert sum(memory.extra.values()) < 100
